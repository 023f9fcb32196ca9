variable "name" {
  type = string
}

variable "node_type" {
  type = string
}

variable "replicas" {
  description = "Beside the primary; at least one, so that a lost zone costs a minute"
  type        = number

  validation {
    condition     = var.replicas >= 1
    error_message = "Failover needs at least one replica."
  }
}

variable "password" {
  description = "Where it lies in Secrets Manager"
  type        = object({ arn = string, version = string })
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
