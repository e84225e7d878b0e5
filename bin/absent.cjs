// Stands in the bundle for what dockerode can do and tsnet never asks of it: SSH to another host, building images.
module.exports = {}
