output "stack" {
  description = "A stack file for `dobble stack use`."
  value = yamlencode({
    remote = merge(
      { url = "s3://${var.bucket}/dobble", region = var.region },
      var.endpoint == "" ? {} : { endpointurl = var.endpoint },
    )
  })
}

output "mlflow_artifacts" {
  description = "What `mlflow server --artifacts-destination` takes."
  value       = "s3://${var.bucket}/mlflow"
}

output "image_repository" {
  description = "Where images for devices are pushed and pulled."
  value       = aws_ecr_repository.device.repository_url
}

output "users" {
  description = "Users whose access keys are yet to be made."
  value       = { for role, user in aws_iam_user.of : role => user.name }
}
