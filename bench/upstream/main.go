// Copyright The Fairlead Authors
// SPDX-License-Identifier: Apache-2.0

// Command upstream decides allocator cases with Kubernetes' own structured allocator and says how long it took.
//
// It reads the JSON lines that `fairlead allocate --cases` reads, and prints one line a case: name, devices (a list of
// [request, "driver/pool/device"] a claim, or null), error (or null), timeout, micros (the fastest of several calls of
// Allocate on a prepared allocator) and micros_first (the first call, with an empty cache of CEL programs).
package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"runtime"
	"strings"
	"time"

	v1 "k8s.io/api/core/v1"
	resourceapi "k8s.io/api/resource/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/dynamic-resource-allocation/cel"
	"k8s.io/dynamic-resource-allocation/structured"
)

// maxLine is the longest case that can be read, in bytes.
const maxLine = 1 << 28

// celCacheSize is larger than the number of expressions of any case.
const celCacheSize = 1024

// deviceRef is a device in the state of the cluster: "driver/pool/device" or an object.
type deviceRef struct {
	Driver   string                                          `json:"driver"`
	Pool     string                                          `json:"pool"`
	Device   string                                          `json:"device"`
	ShareID  *types.UID                                      `json:"shareID"`
	Consumed map[resourceapi.QualifiedName]resource.Quantity `json:"consumed"`
}

func (ref *deviceRef) UnmarshalJSON(data []byte) error {
	var text string
	if err := json.Unmarshal(data, &text); err == nil {
		parts := strings.Split(text, "/")
		if len(parts) < 3 {
			return fmt.Errorf("%q is not driver/pool/device", text)
		}
		last := len(parts) - 1
		ref.Driver, ref.Pool, ref.Device = parts[0], strings.Join(parts[1:last], "/"), parts[last]
		return nil
	}
	type plain deviceRef
	return json.Unmarshal(data, (*plain)(ref))
}

func (ref *deviceRef) id() structured.DeviceID {
	return structured.MakeDeviceID(ref.Driver, ref.Pool, ref.Device)
}

// testCase is one input line.
type testCase struct {
	Name                     string                       `json:"name"`
	Features                 []string                     `json:"features"`
	Slices                   []*resourceapi.ResourceSlice `json:"slices"`
	Classes                  classes                      `json:"classes"`
	Claims                   []*resourceapi.ResourceClaim `json:"claims"`
	AllocatedDevices         []deviceRef                  `json:"allocatedDevices"`
	AllocatedSharedDeviceIDs []deviceRef                  `json:"allocatedSharedDeviceIDs"`
	AllocatedCapacity        []deviceRef                  `json:"allocatedCapacity"`
	AllocatedClaims          []*resourceapi.ResourceClaim `json:"allocatedClaims"`
	Node                     *v1.Node                     `json:"node"`
	Nodes                    []*v1.Node                   `json:"nodes"`
}

// outcome is one output line.
type outcome struct {
	Name        string        `json:"name"`
	Devices     [][][2]string `json:"devices"`
	Error       *string       `json:"error"`
	Timeout     bool          `json:"timeout"`
	Micros      float64       `json:"micros"`
	MicrosFirst float64       `json:"micros_first"`
}

// classes implements the lister that the allocator asks for device classes.
type classes []*resourceapi.DeviceClass

func (c classes) List() ([]*resourceapi.DeviceClass, error) { return c, nil }

func (c classes) Get(name string) (*resourceapi.DeviceClass, error) {
	for _, class := range c {
		if class.Name == name {
			return class, nil
		}
	}
	return nil, fmt.Errorf("device class %q not found", name)
}

// features turns the names that cases use into the allocator's switches; they decide which of its implementations runs.
func features(names []string) (structured.Features, error) {
	var f structured.Features
	switches := map[string]*bool{
		"AdminAccess":             &f.AdminAccess,
		"CompatibilityGroups":     &f.CompatibilityGroups,
		"ConsumableCapacity":      &f.ConsumableCapacity,
		"DerivedAttributes":       &f.DerivedAttributes,
		"DeviceBindingAndStatus":  &f.DeviceBindingAndStatus,
		"DeviceTaints":            &f.DeviceTaints,
		"FractionalCapacityRange": &f.FractionalCapacityRange,
		"ListTypeAttributes":      &f.ListTypeAttributes,
		"OptionalNodeOperations":  &f.OptionalNodeOperations,
		"PartitionableDevices":    &f.PartitionableDevices,
		"PrioritizedList":         &f.PrioritizedList,
	}
	for _, name := range names {
		enabled, known := switches[name]
		if !known {
			return f, fmt.Errorf("unknown feature %q", name)
		}
		*enabled = true
	}
	return f, nil
}

// state collects what is taken, from the lists of the case and from allocated claims as kube-scheduler does.
func state(c *testCase, f structured.Features) structured.AllocatedState {
	taken := structured.AllocatedState{
		AllocatedDevices:         sets.New[structured.DeviceID](),
		AllocatedSharedDeviceIDs: sets.New[structured.SharedDeviceID](),
		AggregatedCapacity:       structured.NewConsumedCapacityCollection(),
	}
	for i := range c.AllocatedDevices {
		taken.AllocatedDevices.Insert(c.AllocatedDevices[i].id())
	}
	for i := range c.AllocatedSharedDeviceIDs {
		ref := &c.AllocatedSharedDeviceIDs[i]
		taken.AllocatedSharedDeviceIDs.Insert(structured.MakeSharedDeviceID(ref.id(), ref.ShareID))
	}
	for i := range c.AllocatedCapacity {
		ref := &c.AllocatedCapacity[i]
		taken.AggregatedCapacity.Insert(structured.NewDeviceConsumedCapacity(ref.id(), ref.Consumed))
	}
	for _, claim := range c.AllocatedClaims {
		if claim.Status.Allocation == nil {
			continue
		}
		for _, result := range claim.Status.Allocation.Devices.Results {
			id := structured.MakeDeviceID(result.Driver, result.Pool, result.Device)
			switch {
			case result.AdminAccess != nil && *result.AdminAccess:
			case f.ConsumableCapacity && result.ShareID != nil:
				taken.AllocatedSharedDeviceIDs.Insert(structured.MakeSharedDeviceID(id, result.ShareID))
				if result.ConsumedCapacity != nil {
					taken.AggregatedCapacity.Insert(structured.NewDeviceConsumedCapacity(id, result.ConsumedCapacity))
				}
			default:
				taken.AllocatedDevices.Insert(id)
			}
		}
	}
	return taken
}

// attempt tries the nodes in order until one fits or the pod is refused.
func attempt(ctx context.Context, a structured.Allocator, c *testCase) (result []resourceapi.AllocationResult, err error) {
	defer func() {
		// The allocator trusts its input to be valid; some invalid claims make it panic.
		if r := recover(); r != nil {
			err = fmt.Errorf("panic: %v", r)
		}
	}()
	for _, node := range c.Nodes {
		result, err = a.Allocate(ctx, node, c.Claims)
		if result != nil || (err != nil && !errors.Is(err, structured.ErrFailedAllocationOnNode)) {
			break
		}
	}
	return result, err
}

// decide runs one case: once with an empty cache, then up to repeat times within the budget.
func decide(c *testCase, repeat int, budget time.Duration) outcome {
	out := outcome{Name: c.Name}
	fail := func(err error) outcome {
		text := err.Error()
		out.Error = &text
		return out
	}
	f, err := features(c.Features)
	if err != nil {
		return fail(err)
	}
	if c.Node != nil {
		c.Nodes = []*v1.Node{c.Node}
	}
	ctx, cancel := context.WithTimeout(context.Background(), budget)
	defer cancel()
	cache := cel.NewCache(celCacheSize, cel.Features{
		EnableConsumableCapacity: f.ConsumableCapacity,
		EnableListTypeAttributes: f.ListTypeAttributes,
	})
	allocator, err := structured.NewAllocator(ctx, f, state(c, f), c.Classes, c.Slices, cache)
	if err != nil {
		return fail(err)
	}
	runtime.GC() // what earlier cases left behind is not this case's cost

	begin := time.Now()
	result, err := attempt(ctx, allocator, c)
	first := time.Since(begin)
	best := first
	out.Timeout = ctx.Err() != nil && err != nil
	for i := 1; i < repeat && time.Since(begin) < budget; i++ {
		start := time.Now()
		_, again := attempt(ctx, allocator, c)
		if elapsed := time.Since(start); ctx.Err() == nil && elapsed < best && (again == nil) == (err == nil) {
			best = elapsed
		}
	}
	out.Micros = float64(best.Nanoseconds()) / 1000
	out.MicrosFirst = float64(first.Nanoseconds()) / 1000
	if err != nil {
		return fail(err)
	}
	if result == nil {
		return out
	}
	out.Devices = make([][][2]string, len(result))
	for i := range result {
		out.Devices[i] = [][2]string{}
		for _, r := range result[i].Devices.Results {
			out.Devices[i] = append(out.Devices[i], [2]string{r.Request, r.Driver + "/" + r.Pool + "/" + r.Device})
		}
	}
	return out
}

func run(in io.Reader, out io.Writer, repeat int, budget time.Duration) error {
	lines := bufio.NewScanner(in)
	lines.Buffer(nil, maxLine)
	encoder := json.NewEncoder(out)
	encoder.SetEscapeHTML(false)
	for number := 1; lines.Scan(); number++ {
		if len(bytes.TrimSpace(lines.Bytes())) == 0 {
			continue
		}
		var c testCase
		if err := json.Unmarshal(lines.Bytes(), &c); err != nil {
			return fmt.Errorf("line %d: %w", number, err)
		}
		if err := encoder.Encode(decide(&c, repeat, budget)); err != nil {
			return err
		}
	}
	return lines.Err()
}

func main() {
	cases := flag.String("cases", "-", "`file` of JSON lines, - is stdin")
	repeat := flag.Int("repeat", 1, "decide each case up to `N` times")
	budget := flag.Float64("budget-seconds", 10, "give a case up, or stop repeating it, after so many `seconds`")
	flag.Parse()
	// One thread, so that a time is the work of one decision; kube-scheduler tries several nodes at the same time.
	runtime.GOMAXPROCS(1)
	in := os.Stdin
	if *cases != "-" {
		file, err := os.Open(*cases)
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(2)
		}
		defer file.Close()
		in = file
	}
	if err := run(in, os.Stdout, *repeat, time.Duration(*budget*float64(time.Second))); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(2)
	}
}
