variable "bucket" {
  description = "Name of the bucket for data, results and models; unique in the world."
  type        = string

  validation {
    condition     = can(regex("^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$", var.bucket))
    error_message = "3 to 63 lower-case letters, digits, dots or hyphens."
  }
}

variable "name" {
  description = "Start of the names of users, policies and the image's repository."
  type        = string
  default     = "dobble"
}

variable "region" {
  description = "Where everything lives."
  type        = string
  default     = "us-east-1"
}

variable "keep_versions_days" {
  description = "How long an overwritten or deleted object can be brought back."
  type        = number
  default     = 30
}

variable "destroy_data" {
  description = "Whether taking the stack down deletes a bucket that is not empty."
  type        = bool
  default     = false
}

variable "endpoint" {
  description = "Address of a service that answers in AWS's place, for trials; empty for AWS."
  type        = string
  default     = ""
}
