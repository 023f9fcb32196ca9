variable "name" {
  type = string
}

variable "account_id" {
  type = string
}

variable "engine_version" {
  description = "PostgreSQL's major version: RDS takes the newest minor one"
  type        = string
  default     = "18"
}

variable "instance_class" {
  type = string
}

variable "storage_gib" {
  type = number
}

variable "storage_gib_max" {
  description = "RDS grows the disk by itself up to here"
  type        = number
}

variable "backup_days" {
  description = "How far point-in-time recovery reaches back"
  type        = number

  validation {
    condition     = var.backup_days >= 7 && var.backup_days <= 35
    error_message = "RDS keeps up to 35 days; fewer than 7 is no backup of a ledger."
  }
}

variable "deletion_protection" {
  type = bool
}

variable "subnets" {
  type = list(string)
}

variable "security_group" {
  type = string
}

variable "key_arn" {
  type = string
}
