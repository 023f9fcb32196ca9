variable "name" {
  type = string
}

variable "account_id" {
  type = string
}

variable "key_arn" {
  type = string
}

variable "daily_days" {
  description = "How long a daily copy is kept"
  type        = number
}

variable "monthly_days" {
  description = "How long a monthly copy is kept"
  type        = number
}
