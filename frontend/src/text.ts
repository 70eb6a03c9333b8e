// Every word that a user reads, in one place: a translation is a second object of this shape.

import type { FieldName, Subject } from './query';
import type { QueryType, VariableName } from './types';

interface Labelled {
  label: string;
  description: string;
}

const share = (value: number) => value.toFixed(2);

const types: Record<QueryType, Labelled> = {
  analyze: { label: 'Analyze', description: 'What broke, by a model that reads the logs, with its evidence' },
  verdicts: { label: 'Verdicts', description: 'The newest verdict of every question that was asked' },
  signals: {
    label: 'Live signals',
    description: 'Abstained, ungrounded and failed answers and unseen templates over time',
  },
  runs: { label: 'Runs', description: 'Evaluation runs of the store, newest first' },
  metrics: { label: 'Metrics', description: 'A metric over runs as time series with intervals: drift' },
  compare: { label: 'Compare', description: 'Two runs, case by case: better, worse, equivalent or cannot tell' },
  cases: { label: 'Cases', description: 'How each case of a run ended, regressions first' },
  tradeoff: { label: 'Trade-off', description: 'Quality against latency, tokens and size, per model and quantization' },
  prompts: { label: 'Prompts', description: 'Prompt versions with their release and measured quality' },
  attribution: {
    label: 'Attribution',
    description: 'From a trace or a hash, or a run and a case, to what made the answer',
  },
  annotations: { label: 'Annotations', description: 'Prompts released, models changed, datasets frozen, gates closed' },
  drift: { label: 'Drift', description: 'Nightly runs against a pinned baseline, valid under repeated looks' },
  golden: { label: 'Golden set', description: 'What the labelled cases are made of' },
};

const fields: Record<FieldName, Labelled> = {
  expr: { label: 'Logs', description: 'A LogQL query. What it returns is redacted, condensed and read by the model.' },
  window: { label: 'Window', description: "How far back to read, such as 15m. Without one: the panel's time range." },
  prompt: {
    label: 'Prompt',
    description: 'Which prompt version. Without one the routing rules choose by labels and content.',
  },
  model: { label: 'Model', description: "Which model. Without one the route's, else the data source's default." },
  question: { label: 'Question', description: 'A standing question of the data source; its newest verdict is shown.' },
  run: { label: 'Run', description: "A run's id or its unique beginning, or an arm's name for its newest run." },
  case: { label: 'Case', description: 'A case of the golden dataset. Without one: the one answered last.' },
  repeat: { label: 'Repeat', description: 'Which repeat of the case, counted from 0.' },
  against: { label: 'Against', description: 'The run to hold it against: changes come first, regressions before all.' },
  a: {
    label: 'Reference (A)',
    description: "The run that is compared with: an id, or an arm's name for its newest run.",
  },
  b: { label: 'Judged (B)', description: "The run that is judged: an id, or an arm's name for its newest run." },
  metric: {
    label: 'Metric',
    description: 'What decides. Without one: what the experiment declared, or the root cause.',
  },
  margin: {
    label: 'Margin',
    description: "A difference that would not matter, in the metric's unit, if not the declared one.",
  },
  only: { label: 'Show', description: 'Which cases.' },
  anyTime: { label: 'Any time', description: "Runs of any time, not only those of the panel's range." },
  limit: { label: 'Limit', description: 'At most so many rows.' },
  hash: {
    label: 'Prompt hash',
    description: 'Hash of a rendered prompt, as spans carry it: at least its first 8 digits.',
  },
  kinds: { label: 'Kinds', description: 'Which events. Without a choice: all.' },
  signal: { label: 'Signal', description: 'One of the signals; an alert rule needs one. Without a choice: all.' },
  quantile: { label: 'Quantile', description: 'Of the latency, in place of its mean.' },
  baseline: { label: 'Baseline', description: 'The pinned run to hold the others against.' },
  show: { label: 'Show', description: 'The difference, what is left of the margin, the evidence, or the state.' },
  by: { label: 'By', description: 'What to group by.' },
  experiment: { label: 'Experiment', description: 'Only runs of these experiments.' },
  arm: { label: 'Arm', description: 'Only runs of these arms.' },
  quantization: { label: 'Quantization', description: 'Only runs with these quantizations.' },
  dataset: { label: 'Dataset', description: 'Only runs over these datasets.' },
  profile: { label: 'Profile', description: 'Only runs in these profiles.' },
  split: { label: 'Split', description: 'Only cases of these splits.' },
  family: { label: 'Family', description: 'Only cases of these families.' },
};

const subjects: Record<Subject, Labelled> = {
  logs: { label: 'Logs', description: 'Whatever a LogQL query returns' },
  question: { label: 'Standing question', description: 'One that the data source asks on its own schedule' },
  run: { label: 'Case of a run', description: 'A verdict of a finished evaluation run' },
};

const variables: Record<VariableName, Labelled> = {
  runs: { label: 'Runs', description: 'Ids of runs, newest first' },
  arms: { label: 'Arms', description: 'Names that stand for the newest run of an arm' },
  models: { label: 'Models', description: 'Models that runs were made with' },
  prompts: { label: 'Prompts', description: 'Prompt choices of runs' },
  datasets: { label: 'Datasets', description: 'Golden datasets that runs are over' },
  experiments: { label: 'Experiments', description: 'Experiments that runs belong to' },
  families: { label: 'Families', description: 'Families of cases' },
  splits: { label: 'Splits', description: 'Splits of cases' },
  quantizations: { label: 'Quantizations', description: 'Quantizations that were measured' },
  metrics: { label: 'Metrics', description: 'Metrics by name' },
  baselines: { label: 'Baselines', description: 'Runs that are pinned' },
  banner: { label: 'Banner', description: 'A sentence on the state of the store, as Markdown' },
};

export const text = {
  types,
  fields,
  subjects,
  variables,
  editor: {
    type: 'Query type',
    subject: 'Read',
    run: 'Run query',
    cancel: 'Cancel',
    filters: 'Filter runs',
    missing: (fields: string) => `Fill in ${fields}`,
    any: 'any',
    latest: 'latest',
    routed: 'routed',
    byDefault: 'default',
    range: '$__range',
    declared: 'declared',
    logql: '{namespace="monitoring"} |= "error"',
    completions: 'Completions',
    completionHint: 'Type for completions, arrow keys to choose, Enter or Tab to take, Shift+Enter to run.',
  },
  pickers: {
    route: 'Let the routing rules choose by labels and content',
    unmeasured: 'not measured',
    measured: (value: number, low?: number, high?: number) =>
      low === undefined || high === undefined
        ? `root cause ${share(value)}`
        : `root cause ${share(value)} [${share(low)}, ${share(high)}]`,
    loaded: (loaded: boolean) => (loaded ? 'loaded' : 'not loaded'),
  },
  route: {
    title: 'Route',
    goesTo: (prompt: string, model: string | null) => (model ? `${prompt} on ${model}` : prompt),
    because: (reason: string) => `because ${reason}`,
    fixed: 'chosen in the query',
    unknown: 'routes cannot be previewed',
    byContent: 'by labels alone: rules on content are tried once the lines are read',
  },
  cost: {
    title: 'Cost',
    estimate: (bytes: string, entries: string, streams: number) =>
      `about ${bytes} in ${entries} entries of ${streams === 1 ? '1 stream' : `${streams} streams`}`,
    nothing: 'nothing in the index yet: the newest logs are not counted',
    pass: 'within the limits',
    unknown: 'costs cannot be previewed',
  },
  help: {
    title: 'Assay',
    intro: 'Click an example to put it into the query.',
    examples: {
      analyze: ['What is wrong in a namespace', 'A model reads the logs of the time range and says what broke.'],
      runs: ['What was measured', 'Every evaluation run with its primary metric and interval.'],
      metrics: ['Drift', 'A metric over time, one series per arm. In an alert rule it has one number per series.'],
      compare: ['May I say B is better?', 'Two dashboard variables, one sentence, the figures behind it.'],
      cases: ['What got worse', 'Regressions first, each a click away from both verdicts.'],
      tradeoff: ['What does quality cost', 'Models and quantizations, with the Pareto front marked.'],
      attribution: ['Where does this answer come from', 'From the prompt hash on a span to prompt, model and commit.'],
      signals: ['Is the world changing', 'Shares of abstained, ungrounded and failed answers on live queries.'],
    } as Partial<Record<QueryType, [string, string]>>,
  },
  variable: { label: 'Values', description: 'Which list the variable takes its values from' },
  config: {
    description: 'Assay',
    docs: 'https://github.com/grafana/loki',
    loki: {
      title: 'Loki',
      description: 'Where logs are read. Without it stored runs can still be shown and compared.',
    },
    models: {
      title: 'Models',
      description: 'Servers that answer for the models of models.toml. The rule baseline needs none.',
      add: 'Add a server',
      remove: (name: string) => `Remove ${name || 'this server'}`,
      name: 'Model',
      url: 'URL',
      key: 'API key',
    },
    store: { title: 'Store', description: 'Where evaluation runs, verdicts, prompts and golden datasets lie.' },
    analysis: {
      title: 'Analysis',
      description: 'How much is read, how long a verdict counts, how long a model may take.',
    },
    questions: {
      title: 'Standing questions',
      description: 'Asked on their own schedule, so that alert rules and panels find a verdict.',
      add: 'Add a question',
      remove: (name: string) => `Remove ${name || 'this question'}`,
      name: 'Name',
      expr: 'LogQL',
      every: 'Every',
      window: 'Window',
      prompt: 'Prompt',
      model: 'Model',
    },
    guard: { title: 'Guard', description: 'Asks Loki what a query would read before it runs.' },
    redaction: {
      title: 'Redaction',
      description: 'Tokens, keys and passwords are always taken out before a model or a store sees a line.',
    },
    links: { title: 'Links', description: 'Data sources that traces, logs and metrics in answers link to.' },
    telemetry: { title: 'Telemetry', description: "Where the backend's own traces and metrics go (OTLP)." },
    health: {
      title: 'Health',
      description: 'The parts of this data source, as they were when it was last saved.',
      again: 'Check again',
      checking: 'Checking…',
      unsaved: 'Save & test to see the report.',
      unreachable: (reason: string) => `The check could not be made: ${reason}`,
    },
    bearer: { label: 'Bearer token', description: 'Send a token with every request' },
    settings: {
      url: ['URL', 'Root of Loki, such as http://loki:3100'],
      orgId: ['Tenant', 'X-Scope-OrgID, where Loki has tenants'],
      timeout: ['Timeout', 'Of one request to Loki, in seconds'],
      bearerToken: ['Token', 'Sent as Authorization: Bearer'],
      defaultModel: ['Default model', 'Asked when neither query nor route names one; `rules` needs no server'],
      storeUrl: ['Store', 'A folder (file:///var/lib/assay) or a bucket (s3://bucket/prefix)'],
      storeEndpoint: ['S3 endpoint', 'Of a server that is not AWS, such as http://minio:9000'],
      storeRegion: ['S3 region', ''],
      storePathStyle: ['Path-style addresses', 'http://server/bucket, as MinIO has them'],
      storeAccessKey: ['Access key', "Without keys those of the process's environment"],
      storeSecretKey: ['Secret key', ''],
      rootPath: ['Installation', 'Folder with prompts/, models/ and golden/, as the backend sees it'],
      cachePath: ['Verdict cache', "Folder that keeps verdicts over restarts; without one the store's"],
      budget: ['Digest budget', 'Tokens of log excerpt in a prompt'],
      maxLines: ['Most entries', 'Fetched for one question'],
      freshFor: ['Fresh for', 'Seconds until a verdict is asked anew in the background'],
      maxAge: ['Most age', 'Seconds after which an alert rule hears NoData instead of an old verdict'],
      timeoutS: ['Model timeout', 'Seconds for one answer'],
      queue: ['Queue', 'Most questions that wait for a model'],
      guardMode: ['Over a limit', 'What happens to a query that would read too much'],
      maxBytes: ['Most bytes', 'Of log lines, uncompressed, as the index estimates'],
      maxEntries: ['Most entries', 'As the index estimates'],
      maxRangeS: ['Longest range', 'In seconds'],
      ipAddresses: ['IP addresses', 'Take them out as well'],
      emailAddresses: ['E-mail addresses', 'Take them out as well'],
      hashKey: ['Hash key', 'Makes hashes of rendered prompts HMACs, which nobody without the key can guess'],
      lokiUid: ['Loki', 'Log lines link to it'],
      tempoUid: ['Tempo', 'Trace ids link to it'],
      prometheusUid: ['Prometheus', 'Metrics link to it'],
      otlpEndpoint: ['OTLP endpoint', 'Such as http://tempo:4317'],
      otlpProtocol: ['Protocol', ''],
      otlpHeaders: ['Headers', 'As name=value, separated by commas'],
      otlpCaptureContent: ['Capture content', 'Put prompts and answers into spans. Off: hashes only.'],
    } as Record<string, [label: string, description: string]>,
    guardModes: { off: 'Nothing', warn: 'It runs, with a notice', enforce: 'It does not run' },
  },
} as const;
