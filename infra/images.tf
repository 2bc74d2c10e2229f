# The device's container images, one tag a release: a tag never comes to mean another image.

resource "aws_ecr_repository" "device" {
  name                 = "${var.name}-device"
  image_tag_mutability = "IMMUTABLE"
  force_delete         = var.destroy_data

  image_scanning_configuration {
    scan_on_push = true
  }
}
