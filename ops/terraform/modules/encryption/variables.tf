variable "name" {
  description = "Of the environment: sluice-staging"
  type        = string
}

variable "account_id" {
  type = string
}

variable "region" {
  type = string
}
