// The only program in the containers of node tests: the pause container, and one that says what it was given.
//
//	guest pause         waits for a signal to end, and reaps what is orphaned in its pod
//	guest run           prints a report, then does as pause
//	guest report        prints a report and ends: for exec
//
// A report is one line of JSON: the environment; for each device node below /dev/simulated its kind, its numbers and
// whether it can be opened for reading and writing, which the cgroup of the container decides; and the files that tell
// about devices (KEP-5304).
package main

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
)

const (
	devices  = "/dev/simulated"
	metadata = "/var/run/kubernetes.io/dra-device-attributes"
)

type device struct {
	Character bool   `json:"character"`
	Major     uint32 `json:"major"`
	Minor     uint32 `json:"minor"`
	Problem   string `json:"problem"`
}

type report struct {
	Env      map[string]string `json:"env"`
	Devices  map[string]device `json:"devices"`
	Metadata map[string]string `json:"metadata"`
	Problem  string            `json:"problem"`
}

func look(path string) device {
	var found syscall.Stat_t
	if err := syscall.Stat(path, &found); err != nil {
		return device{Problem: err.Error()}
	}
	number := uint64(found.Rdev)
	made := device{
		Character: found.Mode&syscall.S_IFMT == syscall.S_IFCHR,
		Major:     uint32(number>>8) & 0xfff,
		Minor:     uint32(number&0xff) | uint32(number>>12)&0xfff00,
	}
	file, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		made.Problem = err.Error()
		return made
	}
	file.Close()
	return made
}

func told() report {
	made := report{Env: map[string]string{}, Devices: map[string]device{}, Metadata: map[string]string{}}
	for _, entry := range os.Environ() {
		name, value, _ := strings.Cut(entry, "=")
		made.Env[name] = value
	}
	entries, err := os.ReadDir(devices)
	if err != nil && !os.IsNotExist(err) {
		made.Problem = err.Error()
	}
	for _, entry := range entries {
		made.Devices[entry.Name()] = look(filepath.Join(devices, entry.Name()))
	}
	err = filepath.WalkDir(metadata, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		text, err := os.ReadFile(path)
		made.Metadata[strings.TrimPrefix(path, metadata+"/")] = string(text)
		return err
	})
	if err != nil && !os.IsNotExist(err) {
		made.Problem = err.Error()
	}
	return made
}

func say() {
	line, err := json.Marshal(told())
	if err != nil {
		panic(err)
	}
	fmt.Println(string(line))
}

func wait() {
	signals := make(chan os.Signal, 8)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT, syscall.SIGCHLD)
	for got := range signals {
		if got != syscall.SIGCHLD {
			return
		}
		for {
			if pid, err := syscall.Wait4(-1, nil, syscall.WNOHANG, nil); pid <= 0 || err != nil {
				break
			}
		}
	}
}

func main() {
	command := ""
	if len(os.Args) > 1 {
		command = os.Args[1]
	}
	switch command {
	case "pause":
		wait()
	case "run":
		say()
		wait()
	case "report":
		say()
	default:
		fmt.Fprintln(os.Stderr, "usage: guest pause|run|report")
		os.Exit(2)
	}
}
