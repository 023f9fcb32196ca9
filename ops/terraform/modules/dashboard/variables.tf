variable "name" {
  type = string
}

variable "environment" {
  type = string
}

variable "region" {
  type = string
}

variable "account_id" {
  type = string
}

variable "cluster" {
  type = string
}

variable "database" {
  type = string
}

variable "redis_nodes" {
  type = list(string)
}

variable "broker" {
  type = string
}

variable "load_balancer" {
  description = "ARN suffix"
  type        = string
}

variable "queues" {
  type = list(string)
}

variable "alarms" {
  description = "Full names"
  type        = list(string)
}
