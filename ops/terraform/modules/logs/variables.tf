variable "groups" {
  description = "Full names by short name"
  type        = map(string)
}

variable "retention_days" {
  description = "7 in staging, 30 in production"
  type        = number
}

variable "key_arn" {
  type = string
}
