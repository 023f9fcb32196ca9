variable "name" {
  description = "Of the environment; every alarm's name begins with it"
  type        = string
}

variable "environment" {
  description = "The dimension Environment"
  type        = string
}

variable "topic_arn" {
  type = string
}

variable "runbook" {
  description = "Where the pages of alarms lie"
  type        = string
}

variable "cluster" {
  type = string
}

variable "database" {
  description = "Identifier of the instance"
  type        = string
}

variable "database_storage_gib" {
  type = number
}

variable "redis_nodes" {
  description = "Ids of the replication group's members"
  type        = list(string)
}

variable "broker" {
  type = string
}

variable "load_balancer" {
  description = "ARN suffix"
  type        = string
}

variable "target_groups" {
  description = "ARN suffixes by service"
  type        = map(string)
}

variable "certificate" {
  description = "ARN"
  type        = string
}

variable "queues" {
  type = list(string)
}

variable "queue_depth" {
  description = "So many waiting messages in one queue are too many"
  type        = number
}
