from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Function(_message.Message):
    __slots__ = ("kind", "pf", "number")
    KIND_FIELD_NUMBER: _ClassVar[int]
    PF_FIELD_NUMBER: _ClassVar[int]
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    kind: str
    pf: int
    number: int
    def __init__(self, kind: _Optional[str] = ..., pf: _Optional[int] = ..., number: _Optional[int] = ...) -> None: ...

class Wanted(_message.Message):
    __slots__ = ("function", "bridge", "vlan", "mac", "tx_max")
    FUNCTION_FIELD_NUMBER: _ClassVar[int]
    BRIDGE_FIELD_NUMBER: _ClassVar[int]
    VLAN_FIELD_NUMBER: _ClassVar[int]
    MAC_FIELD_NUMBER: _ClassVar[int]
    TX_MAX_FIELD_NUMBER: _ClassVar[int]
    function: Function
    bridge: str
    vlan: int
    mac: str
    tx_max: int
    def __init__(self, function: _Optional[_Union[Function, _Mapping]] = ..., bridge: _Optional[str] = ..., vlan: _Optional[int] = ..., mac: _Optional[str] = ..., tx_max: _Optional[int] = ...) -> None: ...

class Granted(_message.Message):
    __slots__ = ("function", "representor", "bridge")
    FUNCTION_FIELD_NUMBER: _ClassVar[int]
    REPRESENTOR_FIELD_NUMBER: _ClassVar[int]
    BRIDGE_FIELD_NUMBER: _ClassVar[int]
    function: Function
    representor: str
    bridge: str
    def __init__(self, function: _Optional[_Union[Function, _Mapping]] = ..., representor: _Optional[str] = ..., bridge: _Optional[str] = ...) -> None: ...

class ReportRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class Port(_message.Message):
    __slots__ = ("function", "representor")
    FUNCTION_FIELD_NUMBER: _ClassVar[int]
    REPRESENTOR_FIELD_NUMBER: _ClassVar[int]
    function: Function
    representor: str
    def __init__(self, function: _Optional[_Union[Function, _Mapping]] = ..., representor: _Optional[str] = ...) -> None: ...

class ReportReply(_message.Message):
    __slots__ = ("protocol", "version", "boot_id", "serial", "bfb", "firmware", "eswitch", "ports", "bridges", "offloads", "services", "claims")
    class ServicesEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: int
        def __init__(self, key: _Optional[str] = ..., value: _Optional[int] = ...) -> None: ...
    PROTOCOL_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    BOOT_ID_FIELD_NUMBER: _ClassVar[int]
    SERIAL_FIELD_NUMBER: _ClassVar[int]
    BFB_FIELD_NUMBER: _ClassVar[int]
    FIRMWARE_FIELD_NUMBER: _ClassVar[int]
    ESWITCH_FIELD_NUMBER: _ClassVar[int]
    PORTS_FIELD_NUMBER: _ClassVar[int]
    BRIDGES_FIELD_NUMBER: _ClassVar[int]
    OFFLOADS_FIELD_NUMBER: _ClassVar[int]
    SERVICES_FIELD_NUMBER: _ClassVar[int]
    CLAIMS_FIELD_NUMBER: _ClassVar[int]
    protocol: int
    version: str
    boot_id: str
    serial: str
    bfb: str
    firmware: str
    eswitch: str
    ports: _containers.RepeatedCompositeFieldContainer[Port]
    bridges: _containers.RepeatedScalarFieldContainer[str]
    offloads: _containers.RepeatedScalarFieldContainer[str]
    services: _containers.ScalarMap[str, int]
    claims: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, protocol: _Optional[int] = ..., version: _Optional[str] = ..., boot_id: _Optional[str] = ..., serial: _Optional[str] = ..., bfb: _Optional[str] = ..., firmware: _Optional[str] = ..., eswitch: _Optional[str] = ..., ports: _Optional[_Iterable[_Union[Port, _Mapping]]] = ..., bridges: _Optional[_Iterable[str]] = ..., offloads: _Optional[_Iterable[str]] = ..., services: _Optional[_Mapping[str, int]] = ..., claims: _Optional[_Iterable[str]] = ...) -> None: ...

class ApplyRequest(_message.Message):
    __slots__ = ("uid", "name", "wanted", "services", "dry_run")
    class ServicesEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: int
        def __init__(self, key: _Optional[str] = ..., value: _Optional[int] = ...) -> None: ...
    UID_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    WANTED_FIELD_NUMBER: _ClassVar[int]
    SERVICES_FIELD_NUMBER: _ClassVar[int]
    DRY_RUN_FIELD_NUMBER: _ClassVar[int]
    uid: str
    name: str
    wanted: _containers.RepeatedCompositeFieldContainer[Wanted]
    services: _containers.ScalarMap[str, int]
    dry_run: bool
    def __init__(self, uid: _Optional[str] = ..., name: _Optional[str] = ..., wanted: _Optional[_Iterable[_Union[Wanted, _Mapping]]] = ..., services: _Optional[_Mapping[str, int]] = ..., dry_run: _Optional[bool] = ...) -> None: ...

class ApplyReply(_message.Message):
    __slots__ = ("granted",)
    GRANTED_FIELD_NUMBER: _ClassVar[int]
    granted: _containers.RepeatedCompositeFieldContainer[Granted]
    def __init__(self, granted: _Optional[_Iterable[_Union[Granted, _Mapping]]] = ...) -> None: ...

class ReleaseRequest(_message.Message):
    __slots__ = ("uid",)
    UID_FIELD_NUMBER: _ClassVar[int]
    uid: str
    def __init__(self, uid: _Optional[str] = ...) -> None: ...

class ReleaseReply(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...
