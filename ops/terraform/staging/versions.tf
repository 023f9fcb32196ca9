terraform {
  required_version = ">= 1.11, < 2.0"

  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = "5.100.0"
    }
  }

  # Where the state lies is given by init (docs/DEPLOYMENT.md): terraform init -backend-config=backend.hcl
  backend "s3" {
    key          = "sluice/staging.tfstate"
    encrypt      = true
    use_lockfile = true
  }
}

provider "aws" {
  region              = var.region
  allowed_account_ids = [var.account_id] # nobody applies staging to another account

  # A stand-in for AWS, for tests: nothing is asked that it cannot answer, nothing is repeated for long.
  max_retries                 = var.aws_endpoint == "" ? null : 2
  skip_credentials_validation = var.aws_endpoint != ""
  skip_metadata_api_check     = var.aws_endpoint != ""
  s3_use_path_style           = var.aws_endpoint != ""

  default_tags {
    tags = { Project = "sluice", Environment = "staging", ManagedBy = "terraform" }
  }
}
