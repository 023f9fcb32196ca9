variable "name" {
  type = string
}

variable "cluster" {
  type = string
}

variable "service" {
  type = string
}

variable "min" {
  type = number
}

variable "max" {
  type = number

  validation {
    condition     = var.max >= var.min
    error_message = "max must not be below min."
  }
}

variable "backlog" {
  description = <<-EOT
    For workers: the queues they serve, how many messages one worker may have waiting for it, how many in all are a burst.
    per_task = acceptable wait / mean time of a message x messages in hand.
  EOT
  type = object({
    environment = string
    queues      = list(string)
    per_task    = number
    burst       = number
  })
  default = null

  validation {
    # CloudWatch takes ten metrics in one expression: the queues, the tasks and the result.
    condition     = try(length(var.backlog.queues), 1) <= 8
    error_message = "Metric maths takes at most eight queues."
  }
}

variable "runbook" {
  description = "Where the pages of alarms lie"
  type        = string
}
