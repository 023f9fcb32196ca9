# Who may open a connection to whom, as one table.  Every path is a rule at both ends; what is not here cannot happen.
locals {
  groups = toset([
    "alb", "frontend", "backend", "workers", "dispatcher", "tasks", "database", "redis", "broker", "endpoints",
  ])

  callers = ["frontend", "backend", "workers", "dispatcher", "tasks"]

  paths = merge(
    {
      alb-frontend = { from = "alb", to = "frontend", port = 8080 }
      alb-backend  = { from = "alb", to = "backend", port = 8080 }
    },
    { for from in ["backend", "workers", "dispatcher", "tasks"] :
    "${from}-database" => { from = from, to = "database", port = 5432 } },
    { for from in ["backend", "workers", "dispatcher"] :
    "${from}-redis" => { from = from, to = "redis", port = 6379 } },
    { for from in ["backend", "workers", "dispatcher"] :
    "${from}-broker" => { from = from, to = "broker", port = 5671 } },
    # Queue depths that AMQP does not tell are asked of the broker's management interface.
    { for from in ["backend", "workers", "dispatcher"] :
    "${from}-broker-management" => { from = from, to = "broker", port = 443 } },
    { for from in local.callers :
    "${from}-endpoints" => { from = from, to = "endpoints", port = 443 } },
  )
}

resource "aws_security_group" "this" {
  for_each    = local.groups
  name        = "${var.name}-${each.key}"
  description = "Sluice ${each.key}"
  vpc_id      = aws_vpc.this.id
  tags        = { Name = "${var.name}-${each.key}" }

  lifecycle {
    create_before_destroy = true
  }
}

resource "aws_vpc_security_group_ingress_rule" "path" {
  for_each                     = local.paths
  security_group_id            = aws_security_group.this[each.value.to].id
  referenced_security_group_id = aws_security_group.this[each.value.from].id
  description                  = "From ${each.value.from}"
  ip_protocol                  = "tcp"
  from_port                    = each.value.port
  to_port                      = each.value.port
}

resource "aws_vpc_security_group_egress_rule" "path" {
  for_each                     = local.paths
  security_group_id            = aws_security_group.this[each.value.from].id
  referenced_security_group_id = aws_security_group.this[each.value.to].id
  description                  = "To ${each.value.to}"
  ip_protocol                  = "tcp"
  from_port                    = each.value.port
  to_port                      = each.value.port
}

# The only door from outside; 80 answers with a redirect to 443.
resource "aws_vpc_security_group_ingress_rule" "visitors" {
  for_each          = { http = 80, https = 443 }
  security_group_id = aws_security_group.this["alb"].id
  cidr_ipv4         = "0.0.0.0/0"
  description       = "Anybody, ${each.key}"
  ip_protocol       = "tcp"
  from_port         = each.value
  to_port           = each.value
}

# Workers call the data providers; every task fetches its image and the agent's from registries.  HTTPS only.
resource "aws_vpc_security_group_egress_rule" "https" {
  for_each          = toset(local.callers)
  security_group_id = aws_security_group.this[each.key].id
  cidr_ipv4         = "0.0.0.0/0"
  description       = "HTTPS to registries, AWS and data providers"
  ip_protocol       = "tcp"
  from_port         = 443
  to_port           = 443
}
