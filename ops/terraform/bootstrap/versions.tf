# Once for each account, before staging or production: the bucket that states lie in and the zone that names lie in.
# Its own state is made on disk and then moved into the bucket (docs/DEPLOYMENT.md).
terraform {
  required_version = ">= 1.11, < 2.0"

  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = "5.100.0"
    }
  }
}

provider "aws" {
  region              = var.region
  allowed_account_ids = [var.account_id]

  max_retries                 = var.aws_endpoint == "" ? null : 2
  skip_credentials_validation = var.aws_endpoint != ""
  skip_metadata_api_check     = var.aws_endpoint != ""
  s3_use_path_style           = var.aws_endpoint != ""

  default_tags {
    tags = { Project = "sluice", ManagedBy = "terraform" }
  }
}
