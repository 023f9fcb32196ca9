variable "service" {
  type = string
}

variable "cluster_arn" {
  type = string
}

variable "task_definition" {
  description = "ARN with revision"
  type        = string
}

variable "desired_count" {
  description = "To begin with; autoscaling goes on from there"
  type        = number
}

variable "rollback_alarms" {
  description = "Names of alarms that take a deployment back"
  type        = list(string)

  validation {
    condition     = length(var.rollback_alarms) > 0
    error_message = "Every service names the alarms that take its deployment back."
  }
}

variable "subnets" {
  type = list(string)
}

variable "security_group" {
  type = string
}

variable "target_group" {
  description = "Where the load balancer finds it, for services that it serves"
  type        = object({ arn = string, port = number })
  default     = null
}

variable "wait_for_steady_state" {
  description = "Whether apply waits until the new tasks are up, and fails when they are not"
  type        = bool
}
