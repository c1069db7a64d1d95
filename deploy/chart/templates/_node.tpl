{{/*
What a node's drivers need of it beside folders, by the names of ours that `--driver` takes: as JSON, to be read with
fromJson. Other drivers say it with node.hostNetwork, node.hostPID and node.securityContext.

bluefield: devlink's and bridges' netlink, and the way to the DPU, are in the network of the node; the kernel tells who
manages an e-switch to those with NET_ADMIN only. network: the same, and it takes interfaces out of the namespaces of
pods: their processes must be seen (hostPID, SYS_PTRACE) and their namespaces entered (SYS_ADMIN).
*/}}
{{- define "fairlead.nodeNeeds" -}}
{{- $network := false }}
{{- $others := false }}
{{- $namespaces := false }}
{{- range .Values.node.drivers }}
{{- $kind := regexFind "^[a-z]+(=|$)" .driver | trimSuffix "=" }}
{{- if has $kind (list "bluefield" "network") }}{{ $network = true }}{{ end }}
{{- if eq $kind "network" }}{{ $others = true }}{{ $namespaces = true }}{{ end }}
{{- end }}
{{- $adds := list }}
{{- if $network }}{{ $adds = append $adds "NET_ADMIN" }}{{ end }}
{{- if $namespaces }}{{ $adds = concat $adds (list "SYS_ADMIN" "SYS_PTRACE") }}{{ end }}
{{- if kindIs "bool" .Values.node.hostNetwork }}{{ $network = .Values.node.hostNetwork }}{{ end }}
{{- if kindIs "bool" .Values.node.hostPID }}{{ $others = .Values.node.hostPID }}{{ end }}
{{- $given := .Values.node.securityContext.capabilities | default dict }}
{{- $adds = concat $adds ($given.add | default list) | uniq }}
{{- $context := .Values.node.securityContext }}
{{- if $adds }}{{ $context = mustMerge (dict "capabilities" (dict "add" $adds)) (deepCopy $context) }}{{ end }}
{{- dict "hostNetwork" $network "hostPID" $others "namespaces" $namespaces "securityContext" $context
    "port" (.Values.node.port | default .Values.listen.port | int) | toJson }}
{{- end }}
