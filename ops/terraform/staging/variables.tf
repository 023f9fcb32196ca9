variable "account_id" {
  description = "Twelve digits; the provider refuses any other account"
  type        = string

  validation {
    condition     = can(regex("^[0-9]{12}$", var.account_id))
    error_message = "An AWS account id has twelve digits."
  }
}

variable "region" {
  type    = string
  default = "eu-west-1"
}

variable "availability_zones" {
  type    = list(string)
  default = ["eu-west-1a", "eu-west-1b", "eu-west-1c"]
}

variable "domain" {
  description = "Name that people type"
  type        = string
}

variable "zone_id" {
  description = "Hosted zone that it lies in (an output of bootstrap)"
  type        = string
}

variable "image_tag" {
  description = "Release that the services run"
  type        = string
}

variable "schema_revision" {
  description = "Newest migration of that release, which sluice rollback compares; null: it has to be told"
  type        = string
  default     = null
}

variable "task_image_tag" {
  description = "Release whose migration is run next; null: that of the services"
  type        = string
  default     = null
}

variable "data_providers" {
  description = "Data providers whose keys have been put into Secrets Manager"
  type        = set(string)
  default     = ["cryptopanic", "nansen", "newscatcher"]
}

variable "settings" {
  description = "More SLUICE_ variables, such as budgets; no secrets"
  type        = map(string)
  default     = {}
}

variable "alarm_emails" {
  type = list(string)
}

variable "alarm_webhooks" {
  type    = list(string)
  default = []
}

variable "runbook_url" {
  description = "What stands before docs/runbook in the descriptions of alarms"
  type        = string
  default     = ""
}

variable "password_rotations" {
  description = "Raise a number to have that password made anew (docs/SECRETS.md)"
  type        = map(number)
  default     = { database = 1, redis = 1, broker = 1 }
}

variable "deletion_protection" {
  description = "Off only on the way to destroying the environment"
  type        = bool
  default     = true
}

variable "aws_endpoint" {
  description = "For tests: the address of a stand-in for AWS"
  type        = string
  default     = ""
}
