// Feature flags through OpenFeature, from a file in flagd's format; an edit counts within a second, without a restart.

import { unwatchFile, watchFile } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { InMemoryProvider, OpenFeature } from '@openfeature/server-sdk';

const LOOK_EVERY_MS = 500; // asks for the file's state, so that an editor that replaces the file is seen too

async function readFlags(path) {
  const { flags } = JSON.parse(await readFile(path, 'utf8'));
  return Object.fromEntries(Object.entries(flags).map(([name, flag]) => {
    if (!(flag.defaultVariant in flag.variants)) throw new Error(`${name}: defaultVariant is none of its variants`);
    return [name, { variants: flag.variants, defaultVariant: flag.defaultVariant, disabled: flag.state !== 'ENABLED' }];
  }));
}

/**
 * Give `isOn(name)`; a flag that is unknown or disabled is off. A file that can't be read leaves the last good one.
 * No flag here depends on who asks, so each is evaluated when the file changes and not for each request.
 */
export async function createFlags({ path, log, metrics }) {
  const provider = new InMemoryProvider({});
  await OpenFeature.setProviderAndWait(provider);
  const client = OpenFeature.getClient();
  const values = new Map();
  const state = metrics.gauge('feature_flag_on', 'Whether a flag is on', { labelNames: ['feature_flag_key'] });

  async function load() {
    try {
      const flags = await readFlags(path);
      await provider.putConfiguration(flags);
      for (const name of new Set([...values.keys(), ...Object.keys(flags)])) {
        values.set(name, await client.getBooleanValue(name, false));
        state.set({ feature_flag_key: name }, Number(values.get(name)));
      }
      log.info({ flags: Object.fromEntries(values) }, 'feature flags read');
    } catch (error) {
      log.error({ error: error.message }, 'feature flags not read; the last good ones stay');
    }
  }

  await load();
  watchFile(path, { interval: LOOK_EVERY_MS, persistent: false }, load);
  return { isOn: (name) => values.get(name) ?? false, close: () => unwatchFile(path, load) };
}
