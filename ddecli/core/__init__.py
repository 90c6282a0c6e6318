"""The few small things every room shares: errors, files, seeds, console, images, manifests."""
