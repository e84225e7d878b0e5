// Stands in the bundle for what its libraries can do and tsnet never asks of them: dockerode's SSH and image
// building.
module.exports = {}
