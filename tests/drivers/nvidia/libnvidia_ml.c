/* A libnvidia-ml.so.1 with one H100, for the test that drives nvidia-ml-py by the live door (test_live.py).
 *
 * Structs are declared here a second time, after the NVML API reference and not after the Python module, so that the
 * test notices when the two disagree. Profiles: 1g.10gb (id 19) and 7g.80gb (id 0). */
#include <stdio.h>
#include <string.h>

enum { SUCCESS = 0, VERSION = 25, INVALID = 2, UNSUPPORTED = 3, NOT_FOUND = 6, TIMEOUT = 10, IN_USE = 19, FULL = 23, LOST = 15 };

typedef struct { int kind; } *Device;
typedef struct Compute { int used; struct Instance *of; } Compute;
typedef struct Instance { int used, number, profile; unsigned start, size; Compute compute; int mig; } Instance;
typedef struct { unsigned start, size; } Placement;
typedef struct { unsigned version, id, p2p, slices, instances, sm, ce, dec, enc, jpeg, ofa; unsigned long long mib;
                 char name[96]; } GpuProfile;
typedef struct { unsigned version, id, slices, instances, sm, ce, dec, enc, jpeg, ofa; char name[96]; } ComputeProfile;
typedef struct { Device device; unsigned id, profile; Placement placement; } InstanceInfo;
typedef struct { Device device; Instance *instance; unsigned id, profile; Placement placement; } ComputeInfo;
typedef struct { unsigned long long total, free, used; } Memory;
typedef struct { unsigned version, value; } Addressing;
typedef struct { unsigned version; unsigned char cluster[16]; int status; unsigned clique; unsigned char state;
                 unsigned mask; unsigned char summary; } Fabric;
typedef struct { char legacy[16]; unsigned domain, bus, device, id, subsystem; char bus_id[32]; } Pci;
typedef struct { Device device; unsigned long long type, data; unsigned gi, ci; } Event;
typedef union { double d; unsigned u; unsigned long long ull; } Value;
typedef struct { unsigned field, scope; long long at, took; int type, result; Value value; } Field;

static struct { int kind; } gpu, migs[8];
static Instance instances[8];
static int mig, pending, old, exclusive, lost, started, told;

/* For the test. */
void fake_lose(int now) { lost = now; }
void fake_old(int now) { old = now; }
int fake_exclusive(void) { return exclusive; }
int fake_started(void) { return started; }

/* NVML tells structs apart by a number and their size, and refuses what it does not know. */
#define KNOWN(info, number) ((info)->version == ((number) << 24 | sizeof *(info)))

static int is_gpu(Device d) { return (void *)d == (void *)&gpu; }

int nvmlInitWithFlags(unsigned flags) { (void)flags; started++; return SUCCESS; }
int nvmlShutdown(void) { return SUCCESS; }
const char *nvmlErrorString(int error) { (void)error; return "as the library says"; }
int nvmlSystemGetDriverVersion(char *text, unsigned size) { snprintf(text, size, "580.126.20"); return SUCCESS; }
int nvmlSystemGetCudaDriverVersion(int *version) { *version = 13000; return SUCCESS; }

int nvmlDeviceGetHandleByPciBusId_v2(const char *address, Device *device) {
    if (strcmp(address, "0000:1b:00.0") != 0) return NOT_FOUND;
    if (lost) return LOST;
    *device = (Device)&gpu;
    return SUCCESS;
}

int nvmlDeviceGetUUID(Device d, char *text, unsigned size) {
    if (is_gpu(d)) snprintf(text, size, "GPU-1");
    else snprintf(text, size, "MIG-%d", (int)((char *)d - (char *)migs) / (int)sizeof migs[0]);
    return SUCCESS;
}
int nvmlDeviceGetMinorNumber(Device d, unsigned *minor) { (void)d; *minor = 2; return SUCCESS; }
int nvmlDeviceGetName(Device d, char *text, unsigned size) { (void)d; snprintf(text, size, "NVIDIA H100 80GB HBM3"); return SUCCESS; }
int nvmlDeviceGetBrand(Device d, int *brand) { (void)d; *brand = 14; return SUCCESS; }
int nvmlDeviceGetArchitecture(Device d, unsigned *architecture) { (void)d; *architecture = 9; return SUCCESS; }
int nvmlDeviceGetCudaComputeCapability(Device d, int *major, int *minor) { (void)d; *major = 9; *minor = 0; return SUCCESS; }
int nvmlDeviceGetMemoryInfo(Device d, Memory *memory) { (void)d; memory->total = 81559ull << 20; return SUCCESS; }
int nvmlDeviceGetAddressingMode(Device d, Addressing *mode) { (void)d; if (!KNOWN(mode, 1)) return VERSION; mode->value = 1; return SUCCESS; }
int nvmlDeviceGetModuleId(Device d, unsigned *number) { (void)d; *number = 3; return SUCCESS; }
int nvmlDeviceGetNvLinkState(Device d, unsigned link, int *active) { (void)d; if (link >= 18) return INVALID; *active = 1; return SUCCESS; }
int nvmlDeviceGetPciInfo_v3(Device d, Pci *pci) { (void)d; strcpy(pci->bus_id, "00000000:1B:00.0"); return SUCCESS; }
int nvmlDeviceGetGpuFabricInfoV(Device d, Fabric *fabric) {
    (void)d;
    if (!KNOWN(fabric, 3)) return VERSION;
    for (int at = 0; at < 16; at++) fabric->cluster[at] = (unsigned char)at;
    fabric->status = 0; fabric->clique = 7; fabric->state = 3; fabric->summary = 1;
    return SUCCESS;
}

int nvmlDeviceGetMigMode(Device d, unsigned *current, unsigned *next) { (void)d; *current = (unsigned)mig; *next = (unsigned)pending; return SUCCESS; }
int nvmlDeviceSetMigMode(Device d, unsigned mode, int *status) {
    (void)d;
    for (int at = 0; at < 8; at++) if (!mode && instances[at].used) { *status = IN_USE; return IN_USE; }
    pending = (int)mode;
    *status = old && mig != pending ? 16 : SUCCESS;
    if (!old) mig = pending;
    return SUCCESS;
}
int nvmlDeviceGetGpuInstanceProfileInfoV(Device d, unsigned index, GpuProfile *info) {
    (void)d;
    if (!KNOWN(info, 2)) return VERSION;
    if (index == 0) { info->id = 19; info->slices = 1; info->instances = 7; info->sm = 16; info->mib = 9856; strcpy(info->name, "MIG 1g.10gb"); }
    else if (index == 4) { info->id = 0; info->slices = 7; info->instances = 1; info->sm = 132; info->mib = 81153; strcpy(info->name, "MIG 7g.80gb"); }
    else return index < 3 ? UNSUPPORTED : INVALID;
    info->ce = 1; info->dec = 1; info->enc = 0; info->jpeg = 1; info->ofa = 0;
    return SUCCESS;
}
int nvmlDeviceGetGpuInstancePossiblePlacements_v2(Device d, unsigned profile, Placement *places, unsigned *count) {
    (void)d;
    unsigned all = profile == 19 ? 7 : 1;
    for (unsigned at = 0; places && at < all; at++) { places[at].start = at; places[at].size = profile == 19 ? 1 : 8; }
    *count = all;
    return SUCCESS;
}
int nvmlDeviceCreateGpuInstanceWithPlacement(Device d, unsigned profile, const Placement *place, Instance **made) {
    (void)d;
    if (!mig) return UNSUPPORTED;
    for (int at = 0; at < 8; at++)
        if (instances[at].used && instances[at].start < place->start + place->size && place->start < instances[at].start + instances[at].size)
            return FULL;
    for (int at = 0; at < 8; at++)
        if (!instances[at].used) {
            instances[at] = (Instance){1, at, (int)profile, place->start, place->size, {0, &instances[at]}, at};
            *made = &instances[at];
            return SUCCESS;
        }
    return FULL;
}
int nvmlGpuInstanceDestroy(Instance *one) { if (one->compute.used) return IN_USE; one->used = 0; return SUCCESS; }
int nvmlDeviceGetGpuInstances(Device d, unsigned profile, Instance **found, unsigned *count) {
    (void)d;
    *count = 0;
    for (int at = 0; at < 8; at++) if (instances[at].used && instances[at].profile == (int)profile) found[(*count)++] = &instances[at];
    return SUCCESS;
}
int nvmlDeviceGetGpuInstanceById(Device d, unsigned number, Instance **found) {
    (void)d;
    if (number >= 8 || !instances[number].used) return NOT_FOUND;
    *found = &instances[number];
    return SUCCESS;
}
int nvmlGpuInstanceGetInfo(Instance *one, InstanceInfo *info) {
    info->device = (Device)&gpu; info->id = (unsigned)one->number; info->profile = (unsigned)one->profile;
    info->placement = (Placement){one->start, one->size};
    return SUCCESS;
}
int nvmlGpuInstanceGetComputeInstanceProfileInfoV(Instance *one, unsigned index, unsigned engines, ComputeProfile *info) {
    if (!KNOWN(info, 2)) return VERSION;
    if (engines != 0 || index != (one->profile == 19 ? 0u : 4u)) return UNSUPPORTED;
    info->id = index; info->slices = one->profile == 19 ? 1 : 7; info->instances = 1;
    return SUCCESS;
}
int nvmlGpuInstanceCreateComputeInstance(Instance *one, unsigned profile, Compute **made) { (void)profile; one->compute.used = 1; *made = &one->compute; return SUCCESS; }
int nvmlGpuInstanceGetComputeInstances(Instance *one, unsigned profile, Compute **found, unsigned *count) {
    (void)profile;
    *count = (unsigned)one->compute.used;
    if (*count) found[0] = &one->compute;
    return SUCCESS;
}
int nvmlComputeInstanceGetInfo_v2(Compute *one, ComputeInfo *info) {
    info->device = (Device)&migs[one->of->number]; info->instance = one->of; info->id = 0;
    info->profile = one->of->profile == 19 ? 0 : 4; info->placement = (Placement){0, 1};
    return SUCCESS;
}
int nvmlComputeInstanceDestroy(Compute *one) { one->used = 0; return SUCCESS; }
int nvmlDeviceSetComputeMode(Device d, int mode) { (void)d; exclusive = mode == 3; return SUCCESS; }

int nvmlDeviceGetFieldValues(Device d, int count, Field *fields) {
    (void)d;
    for (int at = 0; at < count; at++) { fields[at].result = SUCCESS; fields[at].value.u = fields[at].field == 230 ? 1 : 0; }
    return SUCCESS;
}
int nvmlDeviceGetRemappedRows(Device d, unsigned *corrected, unsigned *uncorrected, unsigned *waiting, unsigned *failed) {
    (void)d; *corrected = 0; *uncorrected = 1; *waiting = 1; *failed = 0; return SUCCESS;
}
int nvmlDeviceGetRetiredPagesPendingStatus(Device d, int *waiting) { (void)d; (void)waiting; return UNSUPPORTED; }

int nvmlEventSetCreate(void **set) { *set = &told; return SUCCESS; }
int nvmlEventSetFree(void *set) { (void)set; return SUCCESS; }
int nvmlDeviceRegisterEvents(Device d, unsigned long long types, void *set) { (void)set; return is_gpu(d) && types == 8 ? SUCCESS : INVALID; }
int nvmlEventSetWait_v2(void *set, Event *event, unsigned milliseconds) {
    (void)set; (void)milliseconds;
    if (told >= 2) return TIMEOUT;
    *event = (Event){(Device)&gpu, 8, 79, told ? 3 : 0xFFFFFFFFu, told ? 0 : 0xFFFFFFFFu};
    told++;
    return SUCCESS;
}
