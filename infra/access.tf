# Two users. Their keys are made by hand (aws iam create-access-key), because Terraform would keep them in its state.

data "aws_iam_policy_document" "training" {
  statement {
    sid       = "List"
    actions   = ["s3:ListBucket", "s3:GetBucketLocation"]
    resources = [aws_s3_bucket.pipeline.arn]
  }
  statement {
    sid       = "ReadAndWrite"
    actions   = ["s3:GetObject", "s3:PutObject", "s3:DeleteObject", "s3:AbortMultipartUpload"]
    resources = ["${aws_s3_bucket.pipeline.arn}/dobble/*", "${aws_s3_bucket.pipeline.arn}/mlflow/*"]
  }
  statement {
    sid       = "SignIn"
    actions   = ["ecr:GetAuthorizationToken"]
    resources = ["*"]
  }
  statement {
    sid = "PushImages"
    actions = [
      "ecr:BatchCheckLayerAvailability",
      "ecr:BatchGetImage",
      "ecr:CompleteLayerUpload",
      "ecr:GetDownloadUrlForLayer",
      "ecr:InitiateLayerUpload",
      "ecr:PutImage",
      "ecr:UploadLayerPart",
    ]
    resources = [aws_ecr_repository.device.arn]
  }
}

# A device takes its bundle from MLflow over HTTP and needs no right to the bucket.
data "aws_iam_policy_document" "device" {
  statement {
    sid       = "SignIn"
    actions   = ["ecr:GetAuthorizationToken"]
    resources = ["*"]
  }
  statement {
    sid       = "PullImages"
    actions   = ["ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"]
    resources = [aws_ecr_repository.device.arn]
  }
}

locals {
  policies = {
    training = data.aws_iam_policy_document.training.json
    device   = data.aws_iam_policy_document.device.json
  }
}

resource "aws_iam_policy" "of" {
  for_each = local.policies
  name     = "${var.name}-${each.key}"
  policy   = each.value
}

resource "aws_iam_user" "of" {
  for_each      = local.policies
  name          = "${var.name}-${each.key}"
  force_destroy = var.endpoint == "" # with the keys that were made by hand; stand-ins for AWS list none
}

resource "aws_iam_user_policy_attachment" "of" {
  for_each   = local.policies
  user       = aws_iam_user.of[each.key].name
  policy_arn = aws_iam_policy.of[each.key].arn
}
