variable "name" {
  type = string
}

variable "account_id" {
  type = string
}

variable "region" {
  type = string
}

variable "cidr" {
  description = "A /16 to /20; each zone gets three sixteenths of it"
  type        = string
}

variable "availability_zones" {
  description = "Two to four; the broker's cluster wants three"
  type        = list(string)

  validation {
    condition     = length(var.availability_zones) >= 2 && length(var.availability_zones) <= 4
    error_message = "Name two to four availability zones: the load balancer and the database need two."
  }
}

variable "single_nat" {
  description = "One NAT for all zones (cheap; a lost zone cuts off the others) or one in each"
  type        = bool
}

variable "interface_endpoints" {
  description = "AWS services reached without NAT: ecr.api, ecr.dkr, logs, secretsmanager"
  type        = list(string)
}

variable "flow_group" {
  description = "Log group of rejected connections"
  type        = string
}
