output "certificate_arn" {
  description = "Of the certificate once it is valid"
  value       = aws_acm_certificate_validation.this.certificate_arn
}
