{{- define "mjq.fullname" -}}
{{- $name := .Release.Name -}}
{{- if not (contains .Chart.Name $name) }}{{ $name = printf "%s-%s" $name .Chart.Name }}{{ end -}}
{{- .Values.fullnameOverride | default $name | trunc 63 | trimSuffix "-" -}}
{{- end }}

{{- define "mjq.selectorLabels" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "mjq.labels" -}}
{{ include "mjq.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version }}
{{- end }}

{{- define "mjq.serviceAccountName" -}}
{{- $default := ternary (include "mjq.fullname" .) "default" .Values.serviceAccount.create -}}
{{- .Values.serviceAccount.name | default $default -}}
{{- end }}

{{- /* The Secrets that were named, as JSON, by the setting that each one holds. */}}
{{- define "mjq.secrets" -}}
{{- $secrets := dict -}}
{{- range $setting, $secret := dict
      "MJQ_REDIS_URL" .Values.redis.urlSecret
      "MJQ_UPSTREAM_KEY" .Values.upstream.keySecret
      "MJQ_ADMIN_TOKEN" .Values.admin.tokenSecret }}
{{- if $secret.name }}{{ $_ := set $secrets $setting $secret }}{{ end }}
{{- end -}}
{{- toJson $secrets -}}
{{- end }}

{{- /* Seconds: the longest exchange with the upstream, the 3 s in which the rest of a pod stops, and some air. */}}
{{- define "mjq.terminationGracePeriodSeconds" -}}
{{- $timeout_ms := .Values.settings.MJQ_UPSTREAM_TIMEOUT_MS | default 30000 | int -}}
{{- add (div (add $timeout_ms 999) 1000) 10 -}}
{{- end }}
