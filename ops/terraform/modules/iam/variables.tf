variable "name" {
  type = string
}

variable "account_id" {
  type = string
}

variable "region" {
  type = string
}

variable "key_alias" {
  description = "Of the key that the secrets are encrypted with"
  type        = string
}

variable "services" {
  description = <<-EOT
    By name: the image's repository, the log group of its standard output, the secrets it is given, the log groups that the
    program writes to by itself, and the ARN of the database instance whose master password it may read (null: none).
  EOT
  type = map(object({
    image           = string
    log_group       = string
    secrets         = list(string)
    ships_to        = list(string)
    database_master = optional(string)
  }))
}
