variable "name" {
  type = string
}

variable "account_id" {
  type = string
}

variable "region" {
  type = string
}

variable "key_arn" {
  type = string
}

variable "emails" {
  type = list(string)
}

variable "webhooks" {
  description = "https addresses of a paging service, without secrets in them: they stand in the state file"
  type        = list(string)

  validation {
    condition     = alltrue([for address in var.webhooks : startswith(address, "https://")])
    error_message = "A webhook is an https:// address."
  }
}
