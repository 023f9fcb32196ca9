# A root of nothing, so that `terraform test` has a place to stand: what is tried is in *.tftest.hcl.
terraform {
  required_version = ">= 1.11, < 2.0"

  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = "5.100.0"
    }
  }
}
