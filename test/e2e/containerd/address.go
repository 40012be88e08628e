package containerd

// Socket returns the path of the daemon's socket, where kubelet finds the CRI.
func (d *Daemon) Socket() string { return socket(d.dir) }
