variable "name" {
  type = string
}

variable "account_id" {
  type = string
}

variable "region" {
  type = string
}

variable "vpc_id" {
  type = string
}

variable "subnets" {
  type = list(string)
}

variable "security_group" {
  type = string
}

variable "certificate_arn" {
  type = string
}

variable "targets" {
  description = "frontend and backend: port, and the path that tells whether the process lives"
  type        = map(object({ port = number, health = string }))
}

variable "retention_days" {
  description = "Of the access log"
  type        = number
}

variable "deletion_protection" {
  type = bool
}
