# Without AWS: what the plan says of itself.

mock_provider "aws" {
  mock_data "aws_iam_policy_document" {
    defaults = {
      json = "{\"Version\": \"2012-10-17\", \"Statement\": []}"
    }
  }
  mock_resource "aws_iam_policy" {
    defaults = {
      arn = "arn:aws:iam::123456789012:policy/mock"
    }
  }
  mock_resource "aws_s3_bucket" {
    defaults = {
      arn = "arn:aws:s3:::cards"
    }
  }
}

variables {
  bucket = "cards"
}

# One run for all: each starts the provider anew.
run "promises" {
  assert {
    condition = alltrue([
      aws_s3_bucket_public_access_block.pipeline.block_public_acls,
      aws_s3_bucket_public_access_block.pipeline.block_public_policy,
      aws_s3_bucket_public_access_block.pipeline.ignore_public_acls,
      aws_s3_bucket_public_access_block.pipeline.restrict_public_buckets,
    ])
    error_message = "The bucket must not be public."
  }
  assert {
    condition     = aws_s3_bucket_versioning.pipeline.versioning_configuration[0].status == "Enabled"
    error_message = "Overwritten objects must be kept for a while."
  }
  assert {
    condition     = !aws_s3_bucket.pipeline.force_destroy && !aws_ecr_repository.device.force_delete
    error_message = "Taking the stack down must not delete data unasked."
  }
  assert {
    condition = alltrue([
      for statement in data.aws_iam_policy_document.device.statement :
      alltrue([for action in statement.actions : startswith(action, "ecr:")])
    ])
    error_message = "A device pulls images and nothing else."
  }
  assert {
    condition = alltrue(flatten([
      for statement in data.aws_iam_policy_document.training.statement : [
        for resource in statement.resources :
        endswith(resource, "/dobble/*") || endswith(resource, "/mlflow/*")
      ] if contains(statement.actions, "s3:PutObject")
    ]))
    error_message = "Training writes below dobble/ and mlflow/."
  }
  assert {
    condition     = yamldecode(output.stack) == { remote = { url = "s3://cards/dobble", region = "us-east-1" } }
    error_message = "`dobble stack use` must take the output as it is."
  }
}

run "a_bucket_s_name_is_checked" {
  command = plan
  variables {
    bucket = "My Cards"
  }
  expect_failures = [var.bucket]
}
