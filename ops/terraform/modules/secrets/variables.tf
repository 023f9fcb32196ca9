variable "name" {
  type = string
}

variable "manual" {
  description = "Secrets that people put in: name = what it is"
  type        = map(string)
}

variable "rotations" {
  description = "Passwords that are made: name = a number to raise when it is to be made anew"
  type        = map(number)
}

variable "key_arn" {
  type = string
}

variable "recovery_days" {
  description = "How long a deleted secret can be brought back"
  type        = number
}
