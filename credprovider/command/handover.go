package command

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"github.com/berth-registry/berth/credprovider"
	"github.com/berth-registry/berth/credprovider/ecr"
)

// Fetcher is the program that asks AWS. It is beside those that kubelet and docker execute.
const Fetcher = "berth-ecr-token"

// handedOver is the variable that tells [Fetcher] who started it: its version, and the numbers of
// the open files with the locks.
const handedOver = "BERTH_HANDED_OVER"

// FromFiles is [Program.Tokens] of the programs that link no network code.
func FromFiles(version string) func(credprovider.Rules, string, []byte) (*credprovider.Tokens, error) {
	return func(rules credprovider.Rules, dir string, request []byte) (*credprovider.Tokens, error) {
		tokens := rules.Tokens(dir, ecr.Options{})
		tokens.HandOver = func(locks credprovider.Locks) error { return handOver(version, request, locks) }
		return tokens, nil
	}
}

// handOver starts [Fetcher] in place of this process. It returns only if that fails.
func handOver(version string, request []byte, locks credprovider.Locks) error {
	self, err := os.Executable()
	if err != nil {
		return fmt.Errorf("where is this program: %w", err)
	}
	program := filepath.Join(filepath.Dir(self), Fetcher)
	if _, err := os.Stat(program); errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%s, which asks AWS for ECR tokens, is missing; copy it there from the release of this program (%s)", program, version)
	}
	if err := standardInput(request); err != nil {
		return fmt.Errorf("pass the request to %s: %w", program, err)
	}
	caller := version
	for _, lock := range locks {
		descriptor := int(lock.Fd())
		if err := setCloseOnExec(descriptor, false); err != nil {
			return fmt.Errorf("pass the locks to %s: %w", program, err)
		}
		caller += " " + strconv.Itoa(descriptor)
	}
	if err := os.Setenv(handedOver, caller); err != nil {
		return fmt.Errorf("start %s: %w", program, err)
	}
	err = syscall.Exec(program, append([]string{program}, os.Args[1:]...), os.Environ())
	for _, lock := range locks {
		err = errors.Join(err, setCloseOnExec(int(lock.Fd()), true))
	}
	return fmt.Errorf("start %s: %w", program, err)
}

// standardInput makes b the standard input of this process: a pipe that is large enough to hold it.
func standardInput(b []byte) error {
	r, w, err := os.Pipe()
	if err != nil {
		return err
	}
	defer r.Close()
	defer w.Close()
	if len(b) > 64<<10 { // the usual size
		if _, _, errno := syscall.Syscall(syscall.SYS_FCNTL, w.Fd(), syscall.F_SETPIPE_SZ, 1<<20); errno != 0 {
			return errno
		}
	}
	if _, err := w.Write(b); err != nil {
		return err
	}
	return syscall.Dup3(int(r.Fd()), 0, 0)
}

func setCloseOnExec(descriptor int, on bool) error {
	flag := uintptr(0)
	if on {
		flag = syscall.FD_CLOEXEC
	}
	if _, _, errno := syscall.Syscall(syscall.SYS_FCNTL, uintptr(descriptor), syscall.F_SETFD, flag); errno != 0 {
		return errno
	}
	return nil
}

// FromAWS is [Program.Tokens] of the program that asks AWS with the client that newClient returns.
// It fails when a program of another version handed the request over.
func FromAWS(version string, newClient func(credprovider.Rules) ecr.Client) func(credprovider.Rules, string, []byte) (*credprovider.Tokens, error) {
	return func(rules credprovider.Rules, dir string, _ []byte) (*credprovider.Tokens, error) {
		tokens := rules.Tokens(dir, ecr.Options{Client: newClient(rules)})
		from, given := os.LookupEnv(handedOver)
		if !given {
			return tokens, nil
		}
		// A process that this one starts must not see it.
		if err := os.Unsetenv(handedOver); err != nil {
			return nil, err
		}
		caller, numbers, _ := strings.Cut(from, " ")
		for _, number := range strings.Fields(numbers) {
			descriptor, err := strconv.Atoi(number)
			if err != nil || descriptor <= 2 {
				continue // -1: without a lock, in earlier versions
			}
			if err := setCloseOnExec(descriptor, true); err != nil {
				return nil, fmt.Errorf("the locks that were handed over: %w", err)
			}
			tokens.Locks = append(tokens.Locks, os.NewFile(uintptr(descriptor), "lock"))
		}
		if caller != version {
			return nil, fmt.Errorf("this program is of version %s, and %s beside it of version %s; install both from one release", caller, Fetcher, version)
		}
		return tokens, nil
	}
}
