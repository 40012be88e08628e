package install

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strings"
)

// dropIns are the possible names of our drop-in of a service. The second one is for a service that
// has a drop-in which comes after the first.
func dropIns(service string) []string {
	dir := path.Join("/etc/systemd/system", service+".d")
	return []string{path.Join(dir, "99-berth.conf"), path.Join(dir, "zz-berth.conf")}
}

// wireFlags plans the drop-in that gives kubelet the two flags: the command that the service has
// without it, followed by the flags.
func (in *Installer) wireFlags(w *kubeletWiring, k kubeletNode, dir string) error {
	both := flags(w.configPath, dir)
	switch {
	case k.service.Path == "":
		return fmt.Errorf("kubelet (process %d) is not started by a service of systemd; add %s to its command line", k.running.PID, strings.Join(both, " "))
	case !k.direct:
		return fmt.Errorf("%s does not start kubelet itself with one ExecStart; add %s to the command that it runs", k.service.Path, strings.Join(both, " "))
	}
	body := fmt.Appendf(nil, `# The command that kubelet has without this file, with the two flags for Berth's
# credential provider behind it. Variables are kept, so what sets them still
# counts. Run "berth install" again when the command itself has changed.
[Service]
ExecStart=
ExecStart=%s
`, strings.TrimSpace(k.service.Commands[0])+" "+strings.Join(both, " "))
	names := dropIns(k.service.Name)
	file := names[0]
	if _, err := in.machine.Root.Lstat(names[1]); err == nil {
		file = names[1]
	}
	if n := len(k.service.DropIns); n > 0 && path.Base(k.service.DropIns[n-1]) > path.Base(file) {
		file = names[1]
		if last := k.service.DropIns[n-1]; path.Base(last) > path.Base(file) {
			return fmt.Errorf("%s is read after every drop-in that berth can write; rename it", last)
		}
	}
	w.flags = &wanted{scope: scopeFlags, path: file, body: body, comment: "#"}
	now, err := in.machine.Root.ReadFile(file)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err == nil {
		w.flags.before = now
	}
	if bytes.Equal(now, w.flags.content()) {
		w.flags = nil
	}
	return nil
}
