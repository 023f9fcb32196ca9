variable "account_id" {
  type = string
}

variable "region" {
  type    = string
  default = "eu-west-1"
}

variable "zone" {
  description = "Such as sluice.example"
  type        = string
}

variable "aws_endpoint" {
  description = "For tests: the address of a stand-in for AWS"
  type        = string
  default     = ""
}
