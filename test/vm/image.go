package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/ntpd-go/ntpd-go/test/lab"
)

// image is what every machine boots: a Debian kernel and a first file system with the guest, busybox, the project's
// commands, its examples and its test keys.
type image struct {
	folder *lab.Folder
	kernel string // paths inside the folder's view of the run directory
	initrd string
}

// modules are loaded in this order where the kernel does not have them built in.
var modules = []string{
	"virtio_ring", "virtio", "virtio_pci_modern_dev", "virtio_pci_legacy_dev", "virtio_pci",
	"failover", "net_failover", "virtio_net", "sch_netem", "pps_core", "pps-ldisc",
}

// kernelDir is where the kernel package is unpacked inside the folder.
const kernelDir = "/var/lib/ntpd-go-lab/kernel"

// build prepares everything in the directory dir.
func build(dir string, o options) (*image, error) {
	folder, err := lab.OpenFolder("trixie", say)
	if err != nil {
		return nil, err
	}
	if err := folder.Install("qemu-system-x86", "busybox-static", "xz-utils", "chrony"); err != nil {
		return nil, err
	}
	if err := folder.Overlay("chrony"); err != nil { // another time daemon may have pushed it out of the folder
		return nil, err
	}
	name, err := kernelPackage(folder)
	if err != nil {
		return nil, err
	}
	unpacked, err := folder.Unpack(name, kernelDir)
	if err != nil {
		return nil, err
	}
	var a archive
	if err := addGuest(&a, dir, folder); err != nil {
		return nil, err
	}
	if err := addClockTests(&a, dir); err != nil {
		return nil, err
	}
	if err := addModules(&a, folder, unpacked); err != nil {
		return nil, err
	}
	if err := addProject(&a, o.project, o.bin); err != nil {
		return nil, err
	}
	addSystem(&a)
	if o.duel > 0 {
		if err := addChrony(&a); err != nil {
			return nil, err
		}
	}
	if err := addTree(&a, o.extra); err != nil {
		return nil, err
	}
	version := strings.TrimPrefix(name, "linux-image-")
	kernel, err := os.ReadFile(filepath.Join(unpacked, "boot", "vmlinuz-"+version))
	if err != nil {
		return nil, err
	}
	err = errors.Join(
		os.WriteFile(filepath.Join(dir, "vmlinuz"), kernel, 0o644),
		os.WriteFile(filepath.Join(dir, "initrd"), a.bytes(), 0o644),
	)
	return &image{folder, filepath.Join(dir, "vmlinuz"), filepath.Join(dir, "initrd")}, err
}

// kernelPackage asks the folder's package database which package the newest cloud kernel is in.
func kernelPackage(f *lab.Folder) (string, error) {
	out, err := f.Query("apt-cache", "depends", "linux-image-cloud-amd64")
	if err != nil {
		return "", err
	}
	for line := range strings.Lines(out) {
		if _, name, ok := strings.Cut(line, "Depends: "); ok && strings.HasPrefix(name, "linux-image-") {
			return strings.TrimSpace(name), nil
		}
	}
	return "", fmt.Errorf("linux-image-cloud-amd64 depends on no kernel:\n%s", out)
}

func addGuest(a *archive, dir string, f *lab.Folder) error {
	program := filepath.Join(dir, "guest")
	if err := compile("build", "-trimpath", "-o", program, "github.com/ntpd-go/ntpd-go/test/vm/guest"); err != nil {
		return err
	}
	if err := addFile(a, "init", program, 0o755); err != nil {
		return err
	}
	if err := addFile(a, "bin/busybox", filepath.Join(f.Path, "usr/bin/busybox"), 0o755); err != nil {
		return err
	}
	for _, applet := range []string{"sh", "cat", "ls", "ip", "ps", "date", "sleep", "kill", "tc", "netstat"} {
		a.link("bin/"+applet, "busybox")
	}
	return nil
}

func addModules(a *archive, f *lab.Folder, unpacked string) error {
	found := map[string]string{}
	root := filepath.Join(unpacked, "usr/lib/modules")
	err := filepath.WalkDir(root, func(path string, _ fs.DirEntry, err error) error {
		if base, ok := strings.CutSuffix(filepath.Base(path), ".ko.xz"); ok {
			found[base] = path
		}
		return err
	})
	if err != nil {
		return err
	}
	for i, name := range modules {
		path, ok := found[name]
		if !ok {
			continue // built in
		}
		inside, err := filepath.Rel(f.Path, path)
		if err != nil {
			return err
		}
		content, err := f.Query("xz", "-dc", "/"+inside)
		if err != nil {
			return err
		}
		a.file(fmt.Sprintf("modules/%02d-%s.ko", i, name), 0o644, []byte(content))
	}
	return nil
}

// addProject shows the checkout's commands in the path and its examples below /project, where the scenarios start them.
func addProject(a *archive, project, bin string) error {
	for _, name := range []string{"ntp-daemon", "nts-pool-ke", "ntp-ctl"} {
		err := addFile(a, "bin/"+name, filepath.Join(bin, name), 0o755)
		if errors.Is(err, fs.ErrNotExist) {
			say("without %s: it is not built", name)
			continue
		}
		if err != nil {
			return err
		}
	}
	for _, dir := range []string{"examples", "test-keys"} {
		files, err := os.ReadDir(filepath.Join(project, dir))
		if err != nil {
			return err
		}
		for _, file := range files {
			if file.IsDir() {
				continue
			}
			name := filepath.Join(dir, file.Name())
			if err := addFile(a, "project/"+name, filepath.Join(project, name), 0o644); err != nil {
				return err
			}
		}
	}
	return nil
}

// addTree adds all files below a directory; later files of an archive replace earlier ones of the same name.
func addTree(a *archive, root string) error {
	if root == "" {
		return nil
	}
	return filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		name, err := filepath.Rel(root, path)
		if err != nil {
			return err
		}
		return addFile(a, name, path, 0o755)
	})
}

func addFile(a *archive, name, source string, perm int) error {
	content, err := os.ReadFile(source)
	if err != nil {
		return err
	}
	a.file(name, perm, content)
	return nil
}

// addSystem adds the few files that a C library or Go expects of any system.
func addSystem(a *archive) {
	a.file("etc/passwd", 0o644, []byte("root:x:0:0:root:/root:/bin/sh\n"))
	a.file("etc/group", 0o644, []byte("root:x:0:\n"))
	a.file("etc/hosts", 0o644, []byte("127.0.0.1 localhost\n::1 localhost\n"))
	a.file("etc/resolv.conf", 0o644, []byte("nameserver "+hostAddr.String()+"\noptions timeout:2 attempts:2\n"))
	a.link("var/run", "/run")
	a.dir("root")
	a.dir("etc/ssl/certs")
}
