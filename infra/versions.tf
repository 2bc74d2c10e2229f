terraform {
  required_version = ">= 1.7"
  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = "~> 5.100"
    }
  }
}

# Credentials come from AWS's own chain. With an endpoint, another service answers in AWS's place.
provider "aws" {
  region                      = var.region
  s3_use_path_style           = var.endpoint != ""
  skip_credentials_validation = var.endpoint != ""
  skip_metadata_api_check     = var.endpoint != ""
  skip_requesting_account_id  = var.endpoint != ""
  skip_region_validation      = var.endpoint != ""

  dynamic "endpoints" {
    for_each = var.endpoint == "" ? [] : [var.endpoint]
    content {
      s3  = endpoints.value
      iam = endpoints.value
      sts = endpoints.value
      ecr = endpoints.value
    }
  }

  default_tags {
    tags = { project = var.name }
  }
}
