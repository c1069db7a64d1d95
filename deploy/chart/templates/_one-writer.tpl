{{- /* The managed classes that the requests of a claim's spec name. A request of a kind that we do not know counts as
one of a managed class; one for admin access does not count, since it takes no device from anybody. */}}
{{- define "fairlead.managed" -}}
- name: listed
  expression: >-
    has(params.data) && 'deviceClasses' in params.data
    ? params.data['deviceClasses'].split('\n').map(c, c.trim()).filter(c, c != '') : []
- name: requests
  expression: >-
    has({{ .spec }}.devices) && has({{ .spec }}.devices.requests) ? {{ .spec }}.devices.requests.filter(r,
    !(has(r.exactly) && has(r.exactly.adminAccess) && r.exactly.adminAccess)) : []
- name: managedRequests
  expression: >-
    variables.requests.filter(r, size(variables.listed) == 0 || !(has(r.exactly) || has(r.firstAvailable))
    || (has(r.exactly) && r.exactly.deviceClassName in variables.listed)
    || (has(r.firstAvailable) && r.firstAvailable.exists(s, s.deviceClassName in variables.listed)))
- name: managed
  expression: >-
    variables.managedRequests.map(r, has(r.exactly) ? r.exactly.deviceClassName
    : has(r.firstAvailable) ? r.firstAvailable.filter(s, size(variables.listed) == 0
    || s.deviceClassName in variables.listed)[0].deviceClassName : '(request ' + r.name + ' is of an unknown kind)')
{{- end }}

{{- define "fairlead.managedFrom" -}}
validationActions: {{ toJson .Values.oneWriter.validationActions }}
paramRef:
  name: fairlead-managed-classes
  namespace: {{ .Release.Namespace }}
  # Without the list nobody knows what is managed.
  parameterNotFoundAction: Deny
{{- end }}

{{- define "fairlead.optedIn" -}}
- name: optedIn
  expression: >-
    has(namespaceObject.metadata.labels) && '{{ .Values.optIn.label }}' in namespaceObject.metadata.labels
    && namespaceObject.metadata.labels['{{ .Values.optIn.label }}'] == '{{ .Values.optIn.value }}'
{{- end }}

{{- define "fairlead.elsewhere" -}}
'device class ' + variables.managed[0] + ' is given out by Fairlead, which does not serve this namespace: '
      + 'kubectl label namespace ' + object.metadata.namespace + ' {{ .Values.optIn.label }}={{ .Values.optIn.value }}'
{{- end }}
