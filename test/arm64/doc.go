// Package arm64 runs the programs for arm64 with qemu's emulation of the processor: those that
// are built here, and those of the deb and of the rpm. "make matrix" runs it; it needs
// qemu-user-static, dpkg, rpm and cpio of Debian, and $BERTH_BIN and $BERTH_PROVIDER_BIN, the
// programs for this machine.
package arm64
