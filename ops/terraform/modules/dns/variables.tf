variable "domain" {
  type = string
}

variable "zone_id" {
  description = "Hosted zone that the domain lies in"
  type        = string
}

variable "alb_dns_name" {
  type = string
}

variable "alb_zone_id" {
  type = string
}
