package containerd

// Socket is the path of the daemon's socket, where a kubelet finds its CRI.
func (d *Daemon) Socket() string { return socket(d.dir) }
