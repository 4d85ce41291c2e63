// Reads the environment once, at the start: every fault is told at once, and no value is ever printed.

const PROFILES = ['staging', 'prod'];

const text = (value) => value;
const oneOf = (choices) => (value) => {
  if (!choices.includes(value)) throw new Error(`must be one of ${choices.join(', ')}`);
  return value;
};
const wholeNumber = (low, high) => (value) => {
  const number = Number(value);
  if (!/^\d+$/.test(value) || number < low || number > high) throw new Error(`must be a whole number from ${low} to ${high}`);
  return number;
};
const ratio = (value) => {
  const number = Number(value);
  if (!(number >= 0 && number <= 1)) throw new Error('must be a number from 0 to 1');
  return number;
};
const url = (...schemes) => (value) => {
  if (!URL.canParse(value) || !schemes.includes(new URL(value).protocol)) {
    throw new Error(`must be an address that starts with ${schemes.map((scheme) => `${scheme}//`).join(' or ')}`);
  }
  return value;
};
const secret = (value) => {
  if (value.length < 16) throw new Error('must have at least 16 characters');
  return value;
};
const port = wholeNumber(1, 65535);

// name in the environment: [name in the configuration, how it is read, default; without a default it is needed]
const VARIABLES = {
  TRUEGATE_PROFILE: ['profile', oneOf(PROFILES)],
  HOST: ['host', text, '127.0.0.1'],
  PORT: ['port', port],
  METRICS_PORT: ['metricsPort', port],
  WORKER_METRICS_PORT: ['workerMetricsPort', port],
  DATABASE_URL: ['databaseUrl', url('postgres:', 'postgresql:')],
  REDIS_URL: ['redisUrl', url('redis:', 'rediss:')],
  S3_ENDPOINT: ['s3Endpoint', url('http:', 'https:')],
  S3_REGION: ['s3Region', text],
  S3_BUCKET: ['s3Bucket', text],
  S3_ACCESS_KEY_ID: ['s3AccessKeyId', text],
  S3_SECRET_ACCESS_KEY: ['s3SecretAccessKey', text],
  NEXT_PUBLIC_APP_URL: ['publicUrl', url('http:', 'https:')],
  EDGE_CACHE_DIR: ['edgeCacheDir', text, ''],
  REVALIDATE_SECRET: ['revalidateSecret', secret],
  DATA_DIR: ['dataDir', text],
  LOG_DIR: ['logDir', text],
  FLAGS_FILE: ['flagsFile', text],
  OTEL_EXPORTER_OTLP_ENDPOINT: ['otlpEndpoint', url('http:', 'https:'), ''],
  OTEL_TRACES_SAMPLER_ARG: ['traceRatio', ratio, 0.1],
  TRUEGATE_CONTROLS: ['controls', oneOf(['0', '1']), '0'],
  LOG_LEVEL: ['logLevel', oneOf(['fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent']), 'info'],
  LOG_FILE_KIB: ['logFileKib', wholeNumber(1, 1048576), 20480],
  LOG_FILE_COUNT: ['logFileCount', wholeNumber(2, 1000), 10],
  DB_POOL_MAX: ['dbPoolMax', wholeNumber(1, 1000), 10],
  // Load generators and the edge all come from one address: staging is generous, prod is not.
  RATE_LIMIT_PER_MINUTE: ['rateLimitPerMinute', wholeNumber(1, 1e9), null],
  DRAIN_SECONDS: ['drainSeconds', wholeNumber(0, 3600), 10],
};

/** Turn an environment into one frozen configuration, or list everything that is wrong with it. */
export function readConfig(environment) {
  const config = {};
  const faults = [];
  for (const [name, [key, read, fallback]] of Object.entries(VARIABLES)) {
    const value = environment[name] ?? '';
    if (value === '') {
      if (fallback === undefined) faults.push(`${name} is not set`);
      config[key] = fallback;
      continue;
    }
    try {
      config[key] = read(value);
    } catch (error) {
      faults.push(`${name} ${error.message}`);
    }
  }
  config.controls = config.controls === '1';
  if (config.controls && config.profile === 'prod') faults.push('TRUEGATE_CONTROLS must not be 1 when TRUEGATE_PROFILE is prod');
  config.rateLimitPerMinute ??= config.profile === 'prod' ? 1200 : 1_000_000;
  return { config: Object.freeze(config), faults };
}

/** Read the process environment, or say all that is wrong with it and end with exit code 2. */
export function loadConfig() {
  const { config, faults } = readConfig(process.env);
  if (faults.length > 0) {
    process.stderr.write(`configuration: ${faults.join('\nconfiguration: ')}\n`);
    process.exit(2);
  }
  return config;
}
