// Stands in the bundle for what its libraries can do and tsnet never asks of them: dockerode's SSH and image building,
// express's character sets.
module.exports = {}
