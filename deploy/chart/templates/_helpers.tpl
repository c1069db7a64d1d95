{{- define "fairlead.labels" -}}
app.kubernetes.io/name: fairlead
app.kubernetes.io/part-of: fairlead
{{- end }}

{{- define "fairlead.selector" -}}
app.kubernetes.io/name: fairlead
app.kubernetes.io/component: controller
{{- end }}

{{- define "fairlead.controllerUser" -}}
system:serviceaccount:{{ .Release.Namespace }}:fairlead-controller
{{- end }}
