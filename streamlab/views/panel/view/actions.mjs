// What is done to the run, as text: the same that a scenario's file and the shell take.

const word = (name) => (/^[\w.:-]+$/.test(name) ? name : JSON.stringify(name)); // as a shell reads it
const to = (consumer) => (consumer ? ` for ${word(consumer)}` : "");
const number = (value) => String(Number(value.toPrecision(12)));
const duration = (seconds) => (seconds < 1 ? `${number(seconds * 1000)}ms` : `${number(seconds)}s`);

export const actions = {
  kill: (name) => `kill ${word(name)}`,
  pause: (name) => `pause ${word(name)}`,
  resume: (name) => `resume ${word(name)}`,
  restart: (name) => `restart ${word(name)}`,
  addConsumer: () => "add-consumer",
  claim: (ids, consumer) => `claim ${ids.join(" ")}${to(consumer)}`,
  autoclaim: (consumer) => `autoclaim${to(consumer)}`,
  setRate: (perSecond) => `set-rate ${number(perSecond)}`,
  setService: (mean) => `set-service ${duration(mean)}`,
  setRecovery: (strategy) => `set-recovery ${strategy}`,
  setMinIdle: (seconds) => `set-recovery min-idle ${duration(seconds)}`,
};
