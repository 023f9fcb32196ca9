output "vpc_id" {
  value = aws_vpc.this.id
}

output "public_subnets" {
  value = [for zone in var.availability_zones : aws_subnet.public[zone].id]
}

output "private_subnets" {
  value = [for zone in var.availability_zones : aws_subnet.private[zone].id]
}

output "data_subnets" {
  value = [for zone in var.availability_zones : aws_subnet.data[zone].id]
}

output "groups" {
  description = "Security groups by the name of who wears them"
  value       = { for name, group in aws_security_group.this : name => group.id }
}
