BEGIN TRANSACTION;
CREATE TABLE "agents" (
	device VARCHAR(255) NOT NULL, 
	token_sha256 VARCHAR(64), 
	instance VARCHAR(64), 
	profile_digest VARCHAR(64), 
	offer JSON NOT NULL, 
	created_at DATETIME NOT NULL, 
	seen_at DATETIME, 
	revoked_at DATETIME, 
	board VARCHAR(255) DEFAULT '' NOT NULL, 
	resource VARCHAR(255), 
	CONSTRAINT pk_agents PRIMARY KEY (device, board), 
	CONSTRAINT uq_agents_token_sha256 UNIQUE (token_sha256), 
	CONSTRAINT fk_agents_profile_digest FOREIGN KEY(profile_digest) REFERENCES profiles (digest)
);
CREATE TABLE artefacts (
	owner VARCHAR(255) NOT NULL, 
	sha256 VARCHAR(64) NOT NULL, 
	size_bytes BIGINT NOT NULL, 
	created_at DATETIME NOT NULL, 
	used_at DATETIME NOT NULL, 
	CONSTRAINT pk_artefacts PRIMARY KEY (owner, sha256)
);
CREATE TABLE audit (
	id INTEGER NOT NULL, 
	at DATETIME NOT NULL, 
	user_name VARCHAR(255), 
	token_id VARCHAR(8), 
	action VARCHAR(255) NOT NULL, 
	object TEXT NOT NULL, 
	address VARCHAR(64), 
	outcome VARCHAR(32) NOT NULL, 
	CONSTRAINT pk_audit PRIMARY KEY (id)
);
CREATE TABLE capabilities (
	profile_digest VARCHAR(64) NOT NULL, 
	record JSON NOT NULL, 
	created_at DATETIME NOT NULL, 
	CONSTRAINT pk_capabilities PRIMARY KEY (profile_digest), 
	CONSTRAINT fk_capabilities_profile_digest FOREIGN KEY(profile_digest) REFERENCES profiles (digest)
);
CREATE TABLE dependencies (
	job_id VARCHAR(8) NOT NULL, 
	after_job_id VARCHAR(8) NOT NULL, 
	CONSTRAINT pk_dependencies PRIMARY KEY (job_id, after_job_id), 
	CONSTRAINT fk_dependencies_job_id FOREIGN KEY(job_id) REFERENCES jobs (job_id), 
	CONSTRAINT fk_dependencies_after_job_id FOREIGN KEY(after_job_id) REFERENCES jobs (job_id)
);
CREATE TABLE devices (
	name VARCHAR(255) NOT NULL, 
	profile_digest VARCHAR(64) NOT NULL, 
	seen_at DATETIME NOT NULL, 
	CONSTRAINT pk_devices PRIMARY KEY (name), 
	CONSTRAINT fk_devices_profile_digest FOREIGN KEY(profile_digest) REFERENCES profiles (digest)
);
INSERT INTO "devices" VALUES('dry-run','126e7f375e5ff2a6c958524c2ae5c5523c4f4572acf027ff672d74c7e8289fde','2026-11-29 02:12:52.269694');
CREATE TABLE errands (
	errand_id VARCHAR(32) NOT NULL, 
	device VARCHAR(255) NOT NULL, 
	profile_digest VARCHAR(64) NOT NULL, 
	request JSON NOT NULL, 
	state VARCHAR(32) NOT NULL, 
	epoch INTEGER NOT NULL, 
	deaths INTEGER NOT NULL, 
	holder VARCHAR(64), 
	lease_until DATETIME, 
	result JSON, 
	created_at DATETIME NOT NULL, 
	finished_at DATETIME, tried TEXT DEFAULT '' NOT NULL, 
	CONSTRAINT pk_errands PRIMARY KEY (errand_id), 
	CONSTRAINT fk_errands_profile_digest FOREIGN KEY(profile_digest) REFERENCES profiles (digest)
);
CREATE TABLE export_requests (
	export_id VARCHAR(12) NOT NULL, 
	job_id VARCHAR(8) NOT NULL, 
	candidate_id VARCHAR(12) NOT NULL, 
	options JSON NOT NULL, 
	submitted_by VARCHAR(255) NOT NULL, 
	idempotency_key VARCHAR(255), 
	state VARCHAR(32) NOT NULL, 
	doing TEXT, 
	epoch INTEGER NOT NULL, 
	losses INTEGER NOT NULL, 
	lease_owner JSON, 
	lease_until DATETIME, 
	bundle_sha256 VARCHAR(64), 
	receipt JSON, 
	error TEXT, 
	hint TEXT, 
	created_at DATETIME NOT NULL, 
	finished_at DATETIME, 
	CONSTRAINT pk_export_requests PRIMARY KEY (export_id), 
	CONSTRAINT fk_export_requests_job_id FOREIGN KEY(job_id) REFERENCES jobs (job_id), 
	CONSTRAINT fk_export_requests_candidate_id FOREIGN KEY(candidate_id) REFERENCES trials (candidate_id)
);
CREATE TABLE exports (
	id INTEGER NOT NULL, 
	candidate_id VARCHAR(12) NOT NULL, 
	folder TEXT NOT NULL, 
	verdict TEXT NOT NULL, 
	receipt JSON NOT NULL, 
	created_at DATETIME NOT NULL, 
	CONSTRAINT pk_exports PRIMARY KEY (id), 
	CONSTRAINT fk_exports_candidate_id FOREIGN KEY(candidate_id) REFERENCES trials (candidate_id)
);
CREATE TABLE figures (
	job_id VARCHAR(8) NOT NULL, 
	number INTEGER NOT NULL, 
	metric TEXT NOT NULL, 
	state VARCHAR(32) NOT NULL, 
	value FLOAT NOT NULL, 
	CONSTRAINT pk_figures PRIMARY KEY (job_id, number, metric), 
	CONSTRAINT fk_figures_job_id FOREIGN KEY(job_id) REFERENCES jobs (job_id)
)
 WITHOUT ROWID

;
INSERT INTO "figures" VALUES('a1a20b67',1,'accuracy','done',0.966252);
INSERT INTO "figures" VALUES('a1a20b67',4,'accuracy','done',0.967426);
INSERT INTO "figures" VALUES('a1a20b67',5,'accuracy','done',0.967458);
INSERT INTO "figures" VALUES('a1a20b67',2,'accuracy','done',0.967522);
INSERT INTO "figures" VALUES('a1a20b67',3,'accuracy','done',0.968626);
INSERT INTO "figures" VALUES('a1a20b67',0,'accuracy','done',0.97);
INSERT INTO "figures" VALUES('a1a20b67',1,'bit_operations','done',197677056.0);
INSERT INTO "figures" VALUES('a1a20b67',4,'bit_operations','done',197984256.0);
INSERT INTO "figures" VALUES('a1a20b67',5,'bit_operations','done',1078788096.0);
INSERT INTO "figures" VALUES('a1a20b67',3,'bit_operations','done',1400918016.0);
INSERT INTO "figures" VALUES('a1a20b67',2,'bit_operations','done',1676476416.0);
INSERT INTO "figures" VALUES('a1a20b67',0,'bit_operations','done',3162832896.0);
INSERT INTO "figures" VALUES('a1a20b67',1,'cosine','done',0.992503302);
INSERT INTO "figures" VALUES('a1a20b67',4,'cosine','done',0.994851137);
INSERT INTO "figures" VALUES('a1a20b67',5,'cosine','done',0.99491687);
INSERT INTO "figures" VALUES('a1a20b67',2,'cosine','done',0.995044356);
INSERT INTO "figures" VALUES('a1a20b67',3,'cosine','done',0.997252369);
INSERT INTO "figures" VALUES('a1a20b67',0,'cosine','done',1.0);
INSERT INTO "figures" VALUES('a1a20b67',4,'latency_ms','done',0.085814);
INSERT INTO "figures" VALUES('a1a20b67',1,'latency_ms','done',0.085922);
INSERT INTO "figures" VALUES('a1a20b67',5,'latency_ms','done',0.103412);
INSERT INTO "figures" VALUES('a1a20b67',3,'latency_ms','done',0.108607);
INSERT INTO "figures" VALUES('a1a20b67',2,'latency_ms','done',0.112893);
INSERT INTO "figures" VALUES('a1a20b67',0,'latency_ms','done',0.140704);
INSERT INTO "figures" VALUES('a1a20b67',1,'peak_memory_bytes','done',40928.0);
INSERT INTO "figures" VALUES('a1a20b67',4,'peak_memory_bytes','done',42848.0);
INSERT INTO "figures" VALUES('a1a20b67',3,'peak_memory_bytes','done',48272.0);
INSERT INTO "figures" VALUES('a1a20b67',5,'peak_memory_bytes','done',64352.0);
INSERT INTO "figures" VALUES('a1a20b67',2,'peak_memory_bytes','done',143456.0);
INSERT INTO "figures" VALUES('a1a20b67',0,'peak_memory_bytes','done',157712.0);
INSERT INTO "figures" VALUES('a1a20b67',1,'size_bytes','done',20464.0);
INSERT INTO "figures" VALUES('a1a20b67',4,'size_bytes','done',21424.0);
INSERT INTO "figures" VALUES('a1a20b67',3,'size_bytes','done',24136.0);
INSERT INTO "figures" VALUES('a1a20b67',5,'size_bytes','done',32176.0);
INSERT INTO "figures" VALUES('a1a20b67',2,'size_bytes','done',71728.0);
INSERT INTO "figures" VALUES('a1a20b67',0,'size_bytes','done',78856.0);
INSERT INTO "figures" VALUES('a1a20b67',0,'speedup','done',1.003652);
INSERT INTO "figures" VALUES('a1a20b67',2,'speedup','done',1.250893);
INSERT INTO "figures" VALUES('a1a20b67',3,'speedup','done',1.300268);
INSERT INTO "figures" VALUES('a1a20b67',5,'speedup','done',1.365588);
INSERT INTO "figures" VALUES('a1a20b67',1,'speedup','done',1.643555);
INSERT INTO "figures" VALUES('a1a20b67',4,'speedup','done',1.645631);
CREATE TABLE fronts (
	job_id VARCHAR(8) NOT NULL, 
	version INTEGER NOT NULL, 
	front JSON NOT NULL, 
	created_at DATETIME NOT NULL, 
	CONSTRAINT pk_fronts PRIMARY KEY (job_id, version), 
	CONSTRAINT fk_fronts_job_id FOREIGN KEY(job_id) REFERENCES jobs (job_id)
);
INSERT INTO "fronts" VALUES('a1a20b67',1,'{"objectives":[{"metric":"cosine","direction":"max"},{"metric":"speedup","direction":"max"}],"hypervolume":{"value":0.0003652,"reference":{"cosine":0.9,"speedup":1.0}},"members":["c1dd8bec5247"],"tied_with":{},"nearest_miss":null,"fastest":"c1dd8bec5247","unconfirmed":{},"final":false}','2026-11-29 02:12:56.765073');
INSERT INTO "fronts" VALUES('a1a20b67',2,'{"objectives":[{"metric":"cosine","direction":"max"},{"metric":"speedup","direction":"max"}],"hypervolume":{"value":0.061974176,"reference":{"cosine":0.9,"speedup":1.0}},"members":["e9dfe742b747","c0913610d671","4197ee2d1088","c1dd8bec5247"],"tied_with":{},"nearest_miss":null,"fastest":"e9dfe742b747","unconfirmed":{},"final":false}','2026-11-29 02:12:56.826305');
INSERT INTO "fronts" VALUES('a1a20b67',3,'{"objectives":[{"metric":"cosine","direction":"max"},{"metric":"speedup","direction":"max"}],"hypervolume":{"value":0.061974176,"reference":{"cosine":0.9,"speedup":1.0}},"members":["e9dfe742b747","c0913610d671","4197ee2d1088","c1dd8bec5247"],"tied_with":{},"nearest_miss":null,"fastest":"e9dfe742b747","unconfirmed":{},"final":true}','2026-11-29 02:12:56.834682');
CREATE TABLE job_logs (
	id INTEGER NOT NULL, 
	job_id VARCHAR(8) NOT NULL, 
	at DATETIME NOT NULL, 
	level VARCHAR(16) NOT NULL, 
	text TEXT NOT NULL, 
	candidate_id VARCHAR(12), 
	CONSTRAINT pk_job_logs PRIMARY KEY (id), 
	CONSTRAINT fk_job_logs_job_id FOREIGN KEY(job_id) REFERENCES jobs (job_id)
);
CREATE TABLE jobs (
	job_id VARCHAR(8) NOT NULL, 
	name TEXT NOT NULL, 
	state VARCHAR(32) NOT NULL, 
	spec JSON NOT NULL, 
	spec_folder TEXT NOT NULL, 
	device VARCHAR(255) NOT NULL, 
	profile_digest VARCHAR(64) NOT NULL, 
	space JSON, 
	baseline JSON, 
	strategy_state JSON, 
	error TEXT, 
	hint TEXT, 
	created_at DATETIME NOT NULL, 
	started_at DATETIME, 
	finished_at DATETIME, 
	wall_s FLOAT NOT NULL, 
	epoch INTEGER NOT NULL, 
	lease_owner JSON, 
	lease_until DATETIME, devices JSON, prediction JSON, detached BOOLEAN DEFAULT 0 NOT NULL, submitted_by VARCHAR(255) DEFAULT 'local' NOT NULL, project VARCHAR(255) DEFAULT 'default' NOT NULL, priority INTEGER DEFAULT 0 NOT NULL, idempotency_key VARCHAR(255), files JSON, requested VARCHAR(32), losses INTEGER DEFAULT 0 NOT NULL, finished_at_loss INTEGER DEFAULT 0 NOT NULL, retry_at DATETIME, progress JSON, 
	CONSTRAINT pk_jobs PRIMARY KEY (job_id), 
	CONSTRAINT fk_jobs_profile_digest FOREIGN KEY(profile_digest) REFERENCES profiles (digest)
);
INSERT INTO "jobs" VALUES('a1a20b67','an earlier search','done','{"version":1,"name":"an earlier search","task":{"name":"digits","options":{"width":8}},"devices":[{"name":"dry-run","threads":1,"batch":1}],"objectives":[{"metric":"cosine","direction":"max","device":null,"aggregate":null},{"metric":"speedup","direction":"max","device":null,"aggregate":null}],"constraints":[],"space":{"precision":{"choices":["fp32","int8"]}},"recovery":{"epochs":10,"steps":null,"batch":64,"learning_rate":0.001,"warm_up":0.1,"weight_decay":0.01,"gradient_clip":null,"losses":{"task":{},"kl":{}},"patience":3,"evaluate_every":null,"halving":null,"precision":"auto","threads":null,"seed":0},"strategy":{"name":"random","options":{}},"budget":{"trials":6,"minutes":null,"batch":null,"parallel":1},"limits":{"training_s":3600.0,"exporting_s":600.0,"building_s":300.0,"measuring_s":300.0,"device_s":600.0,"memory_bytes":null,"gpus":0.0},"seed":0}','/jobs','dry-run','126e7f375e5ff2a6c958524c2ae5c5523c4f4572acf027ff672d74c7e8289fde','{"decisions":[{"name":"precision:stem+blocks/blocks.0/conv2","choices":["fp32","int8"],"technique":"precision","target":"stem+blocks/blocks.0/conv2","scope":"layer","device":null},{"name":"precision:blocks/blocks.0/conv1","choices":["fp32","int8"],"technique":"precision","target":"blocks/blocks.0/conv1","scope":"layer","device":null},{"name":"precision:blocks/blocks.1/conv1","choices":["fp32","int8"],"technique":"precision","target":"blocks/blocks.1/conv1","scope":"layer","device":null},{"name":"precision:blocks/blocks.1/conv2+shortcut/shortcut.0","choices":["fp32","int8"],"technique":"precision","target":"blocks/blocks.1/conv2+shortcut/shortcut.0","scope":"layer","device":null},{"name":"precision:blocks/blocks.2/conv1","choices":["fp32","int8"],"technique":"precision","target":"blocks/blocks.2/conv1","scope":"layer","device":null},{"name":"precision:blocks/blocks.2/conv2+shortcut/shortcut.0","choices":["fp32","int8"],"technique":"precision","target":"blocks/blocks.2/conv2+shortcut/shortcut.0","scope":"layer","device":null},{"name":"precision:head","choices":["fp32","int8"],"technique":"precision","target":"head","scope":"layer","device":null}],"context":"f0429830881ae0fb33b54008e53c8abece85e61749a0c1118b015deac1d13973"}','{"metrics":{"accuracy":0.97,"cosine":1.0,"latency_ms":{"p50":0.140704,"ci95":[0.139297,0.142111],"n":0},"speedup":{"ratio":1.0,"ci95":[1.0,1.0]},"size_bytes":78856,"peak_memory_bytes":157712,"bit_operations":3162832896},"facts":{"subject":"25d3187455c210364601557c4a20d28c74f49ff672bd83ea6b857713a291b0d6","model_path":"/cache/models/596bbdae5bacf7b76c5e21499f4925262bef94b6789fc87673183b4b093ab40b.onnx","model_sha256":"596bbdae5bacf7b76c5e21499f4925262bef94b6789fc87673183b4b093ab40b","groups":[{"name":"stem+blocks/blocks.0/conv2","nodes":["/stem/Conv","/blocks/blocks.0/conv2/Conv"],"kind":"Conv","precisions":["fp32","int8"],"macs":663552,"weights":648,"values":25600,"written":16384},{"name":"blocks/blocks.0/conv1","nodes":["/blocks/blocks.0/conv1/Conv"],"kind":"Conv","precisions":["fp32","int8"],"macs":589824,"weights":576,"values":16384,"written":8192},{"name":"blocks/blocks.1/conv1","nodes":["/blocks/blocks.1/conv1/Conv"],"kind":"Conv","precisions":["fp32","int8"],"macs":294912,"weights":1152,"values":12288,"written":4096},{"name":"blocks/blocks.1/conv2+shortcut/shortcut.0","nodes":["/blocks/blocks.1/conv2/Conv","/blocks/blocks.1/shortcut/shortcut.0/Conv"],"kind":"Conv","precisions":["fp32","int8"],"macs":622592,"weights":2432,"values":20480,"written":8192},{"name":"blocks/blocks.2/conv1","nodes":["/blocks/blocks.2/conv1/Conv"],"kind":"Conv","precisions":["fp32","int8"],"macs":294912,"weights":4608,"values":6144,"written":2048},{"name":"blocks/blocks.2/conv2+shortcut/shortcut.0","nodes":["/blocks/blocks.2/conv2/Conv","/blocks/blocks.2/shortcut/shortcut.0/Conv"],"kind":"Conv","precisions":["fp32","int8"],"macs":622592,"weights":9728,"values":10240,"written":4096},{"name":"head","nodes":["/head/Gemm"],"kind":"Gemm","precisions":["fp32","int8","int8_dynamic","int8_weight","int4_weight"],"macs":320,"weights":320,"values":42,"written":10}],"shared_split":false,"notes":[],"digests":{"model":"596bbdae5bacf7b76c5e21499f4925262bef94b6789fc87673183b4b093ab40b","data":"6407a4cd654d6113cdd868b70374cc4b11474cee18f6f3ee937bbc5d0741d602","task":"6407a4cd654d6113cdd868b70374cc4b11474cee18f6f3ee937bbc5d0741d602"},"coverage":{"layers":10,"decided":10,"decisions":7,"left_alone":[],"left_out":[],"unanswered":[]},"time_s":{"preparing":4.417,"searching":0.102,"confirming":0.003}}}','{"_block":1}',NULL,NULL,'2026-11-29 02:12:52.278969','2026-11-29 02:12:52.301555','2026-11-29 02:12:56.838106',4.54088043400406604632e+00,1,NULL,NULL,'[{"device":"dry-run","profile_digest":"126e7f375e5ff2a6c958524c2ae5c5523c4f4572acf027ff672d74c7e8289fde"}]',NULL,0,'local','default',0,NULL,NULL,NULL,0,0,NULL,NULL);
CREATE TABLE measurements (
	id INTEGER NOT NULL, 
	candidate_id VARCHAR(12) NOT NULL, 
	phase VARCHAR(32) NOT NULL, 
	record JSON NOT NULL, 
	created_at DATETIME NOT NULL, job_id VARCHAR(8) DEFAULT '' NOT NULL, 
	CONSTRAINT pk_measurements PRIMARY KEY (id), 
	CONSTRAINT fk_measurements_candidate_id FOREIGN KEY(candidate_id) REFERENCES trials (candidate_id)
);
CREATE TABLE members (
	project VARCHAR(255) NOT NULL, 
	user_name VARCHAR(255) NOT NULL, 
	role VARCHAR(32) NOT NULL, 
	CONSTRAINT pk_members PRIMARY KEY (project, user_name), 
	CONSTRAINT fk_members_project FOREIGN KEY(project) REFERENCES projects (name), 
	CONSTRAINT fk_members_user_name FOREIGN KEY(user_name) REFERENCES users (name)
);
CREATE TABLE paretune_version (
	version_num VARCHAR(32) NOT NULL, 
	CONSTRAINT paretune_version_pkc PRIMARY KEY (version_num)
);
INSERT INTO "paretune_version" VALUES('0004');
CREATE TABLE profiles (
	digest VARCHAR(64) NOT NULL, 
	data JSON NOT NULL, 
	created_at DATETIME NOT NULL, 
	CONSTRAINT pk_profiles PRIMARY KEY (digest)
);
INSERT INTO "profiles" VALUES('126e7f375e5ff2a6c958524c2ae5c5523c4f4572acf027ff672d74c7e8289fde','{"device":"dry-run","runtime":"null","runtime_version":"1","processor":"modelled","instruction_sets":[],"cores":[],"memory_bytes":0,"threads":1,"batch":1,"simulated":true,"runtimes":[],"machine":null,"gpu":null,"peaks":null,"agent":false,"core_type":""}','2026-11-29 02:12:52.269694');
CREATE TABLE projects (
	name VARCHAR(255) NOT NULL, 
	created_at DATETIME NOT NULL, 
	CONSTRAINT pk_projects PRIMARY KEY (name)
);
INSERT INTO "projects" VALUES('default','2026-11-29 02:12:50.918413');
CREATE TABLE sessions (
	sha256 VARCHAR(64) NOT NULL, 
	user_name VARCHAR(255) NOT NULL, 
	token_id VARCHAR(8), 
	scopes JSON NOT NULL, 
	created_at DATETIME NOT NULL, 
	expires_at DATETIME NOT NULL, 
	CONSTRAINT pk_sessions PRIMARY KEY (sha256), 
	CONSTRAINT fk_sessions_user_name FOREIGN KEY(user_name) REFERENCES users (name), 
	CONSTRAINT fk_sessions_token_id FOREIGN KEY(token_id) REFERENCES tokens (token_id)
);
CREATE TABLE tokens (
	token_id VARCHAR(8) NOT NULL, 
	user_name VARCHAR(255) NOT NULL, 
	label VARCHAR(255) NOT NULL, 
	sha256 VARCHAR(64) NOT NULL, 
	scopes JSON NOT NULL, 
	project VARCHAR(255), 
	created_at DATETIME NOT NULL, 
	expires_at DATETIME, 
	revoked_at DATETIME, 
	used_at DATETIME, 
	CONSTRAINT pk_tokens PRIMARY KEY (token_id), 
	CONSTRAINT fk_tokens_user_name FOREIGN KEY(user_name) REFERENCES users (name)
);
CREATE TABLE trial_counts (
	job_id VARCHAR(8) NOT NULL, 
	state VARCHAR(32) NOT NULL, 
	count INTEGER NOT NULL, 
	CONSTRAINT pk_trial_counts PRIMARY KEY (job_id, state), 
	CONSTRAINT fk_trial_counts_job_id FOREIGN KEY(job_id) REFERENCES jobs (job_id)
);
INSERT INTO "trial_counts" VALUES('a1a20b67','done',6);
CREATE TABLE trials (
	candidate_id VARCHAR(12) NOT NULL, 
	job_id VARCHAR(8) NOT NULL, 
	number INTEGER NOT NULL, 
	block INTEGER NOT NULL, 
	digest VARCHAR(64) NOT NULL, 
	decisions JSON NOT NULL, 
	strategy VARCHAR(255) NOT NULL, 
	simulated BOOLEAN NOT NULL, 
	state VARCHAR(32) NOT NULL, 
	reason TEXT, 
	metrics JSON NOT NULL, 
	artifact_sha256 VARCHAR(64), 
	wall_s FLOAT NOT NULL, 
	CONSTRAINT pk_trials PRIMARY KEY (candidate_id), 
	CONSTRAINT fk_trials_job_id FOREIGN KEY(job_id) REFERENCES jobs (job_id), 
	CONSTRAINT uq_trials_job_id_number UNIQUE (job_id, number), 
	CONSTRAINT uq_trials_job_id_digest UNIQUE (job_id, digest)
);
INSERT INTO "trials" VALUES('c1dd8bec5247','a1a20b67',0,0,'aefe9f73a32e6514ba5fa63a39d8333bd957f025d242bc9c09e7d226e58beead','{"precision:stem+blocks/blocks.0/conv2":"fp32","precision:blocks/blocks.0/conv1":"fp32","precision:blocks/blocks.1/conv1":"fp32","precision:blocks/blocks.1/conv2+shortcut/shortcut.0":"fp32","precision:blocks/blocks.2/conv1":"fp32","precision:blocks/blocks.2/conv2+shortcut/shortcut.0":"fp32","precision:head":"fp32"}','random',1,'done',NULL,'{"accuracy":0.97,"cosine":1.0,"latency_ms":{"p50":0.140704,"ci95":[0.139297,0.142111],"n":0},"speedup":{"ratio":1.003652,"ci95":[0.993616,1.013689]},"size_bytes":78856,"peak_memory_bytes":157712,"bit_operations":3162832896}',NULL,0.007);
INSERT INTO "trials" VALUES('2e961815190c','a1a20b67',1,0,'bdb34bb1a2abef06f14e748cd50f86f47fc80c97b46166bf42f7811b6e484f94','{"precision:stem+blocks/blocks.0/conv2":"int8","precision:blocks/blocks.0/conv1":"int8","precision:blocks/blocks.1/conv1":"int8","precision:blocks/blocks.1/conv2+shortcut/shortcut.0":"int8","precision:blocks/blocks.2/conv1":"int8","precision:blocks/blocks.2/conv2+shortcut/shortcut.0":"int8","precision:head":"int8"}','random',1,'done',NULL,'{"accuracy":0.966252,"cosine":0.992503302,"latency_ms":{"p50":0.085922,"ci95":[0.085063,0.086781],"n":0},"speedup":{"ratio":1.643555,"ci95":[1.627119,1.65999]},"size_bytes":20464,"peak_memory_bytes":40928,"bit_operations":197677056}',NULL,0.007);
INSERT INTO "trials" VALUES('b75503a11065','a1a20b67',2,0,'1e11406b07801439f808c4f43852de9f8cb54d295d55ae210c5adb63144d995b','{"precision:stem+blocks/blocks.0/conv2":"int8","precision:blocks/blocks.0/conv1":"int8","precision:blocks/blocks.1/conv1":"int8","precision:blocks/blocks.1/conv2+shortcut/shortcut.0":"fp32","precision:blocks/blocks.2/conv1":"fp32","precision:blocks/blocks.2/conv2+shortcut/shortcut.0":"fp32","precision:head":"fp32"}','random',1,'done',NULL,'{"accuracy":0.967522,"cosine":0.995044356,"latency_ms":{"p50":0.112893,"ci95":[0.111765,0.114022],"n":0},"speedup":{"ratio":1.250893,"ci95":[1.238384,1.263402]},"size_bytes":71728,"peak_memory_bytes":143456,"bit_operations":1676476416}',NULL,0.007);
INSERT INTO "trials" VALUES('4197ee2d1088','a1a20b67',3,0,'9a129ae4e8f0c714f3311124b89927fccc02bbe88e52cd3349242abc18af2376','{"precision:stem+blocks/blocks.0/conv2":"fp32","precision:blocks/blocks.0/conv1":"fp32","precision:blocks/blocks.1/conv1":"int8","precision:blocks/blocks.1/conv2+shortcut/shortcut.0":"int8","precision:blocks/blocks.2/conv1":"int8","precision:blocks/blocks.2/conv2+shortcut/shortcut.0":"int8","precision:head":"int8"}','random',1,'done',NULL,'{"accuracy":0.968626,"cosine":0.997252369,"latency_ms":{"p50":0.108607,"ci95":[0.10752,0.109693],"n":0},"speedup":{"ratio":1.300268,"ci95":[1.287266,1.313271]},"size_bytes":24136,"peak_memory_bytes":48272,"bit_operations":1400918016}',NULL,0.007);
INSERT INTO "trials" VALUES('e9dfe742b747','a1a20b67',4,0,'ee10ff706fa46d530f0dae1a5292bb350e1c0cdfdd26ae31d9ebd5558c082688','{"precision:stem+blocks/blocks.0/conv2":"int8","precision:blocks/blocks.0/conv1":"int8","precision:blocks/blocks.1/conv1":"int8","precision:blocks/blocks.1/conv2+shortcut/shortcut.0":"int8","precision:blocks/blocks.2/conv1":"int8","precision:blocks/blocks.2/conv2+shortcut/shortcut.0":"int8","precision:head":"fp32"}','random',1,'done',NULL,'{"accuracy":0.967426,"cosine":0.994851137,"latency_ms":{"p50":0.085814,"ci95":[0.084956,0.086672],"n":0},"speedup":{"ratio":1.645631,"ci95":[1.629175,1.662087]},"size_bytes":21424,"peak_memory_bytes":42848,"bit_operations":197984256}',NULL,0.007);
INSERT INTO "trials" VALUES('c0913610d671','a1a20b67',5,0,'3018ac07fee4194104c708be1dc38533c9ca8417774f7bdd41130e4394310b89','{"precision:stem+blocks/blocks.0/conv2":"int8","precision:blocks/blocks.0/conv1":"int8","precision:blocks/blocks.1/conv1":"fp32","precision:blocks/blocks.1/conv2+shortcut/shortcut.0":"fp32","precision:blocks/blocks.2/conv1":"int8","precision:blocks/blocks.2/conv2+shortcut/shortcut.0":"int8","precision:head":"fp32"}','random',1,'done',NULL,'{"accuracy":0.967458,"cosine":0.99491687,"latency_ms":{"p50":0.103412,"ci95":[0.102377,0.104446],"n":0},"speedup":{"ratio":1.365588,"ci95":[1.351933,1.379244]},"size_bytes":32176,"peak_memory_bytes":64352,"bit_operations":1078788096}',NULL,0.007);
CREATE TABLE uploads (
	upload_id VARCHAR(32) NOT NULL, 
	owner VARCHAR(255) NOT NULL, 
	sha256 VARCHAR(64) NOT NULL, 
	size_bytes BIGINT NOT NULL, 
	changed_at DATETIME NOT NULL, 
	CONSTRAINT pk_uploads PRIMARY KEY (upload_id)
);
CREATE TABLE usage (
	submitted_by VARCHAR(255) NOT NULL, 
	used_s FLOAT NOT NULL, 
	at DATETIME NOT NULL, 
	CONSTRAINT pk_usage PRIMARY KEY (submitted_by)
);
CREATE TABLE users (
	name VARCHAR(255) NOT NULL, 
	admin BOOLEAN NOT NULL, 
	subject VARCHAR(512), 
	created_at DATETIME NOT NULL, 
	disabled_at DATETIME, 
	CONSTRAINT pk_users PRIMARY KEY (name), 
	CONSTRAINT uq_users_subject UNIQUE (subject)
);
CREATE TABLE workers (
	worker_id VARCHAR(16) NOT NULL, 
	owner JSON NOT NULL, 
	slots INTEGER NOT NULL, 
	started_at DATETIME NOT NULL, 
	seen_at DATETIME NOT NULL, 
	stopped_at DATETIME, refusals JSON, 
	CONSTRAINT pk_workers PRIMARY KEY (worker_id)
);
CREATE INDEX ix_jobs_name ON jobs (name);
CREATE INDEX ix_measurements_candidate_id ON measurements (candidate_id);
CREATE INDEX ix_exports_candidate_id ON exports (candidate_id);
CREATE INDEX ix_errands_device ON errands (device);
CREATE INDEX ix_figures_job_id_metric_state ON figures (job_id, metric, state, value, number);
CREATE INDEX ix_jobs_state_submitted_by ON jobs (state, submitted_by, priority, created_at);
CREATE UNIQUE INDEX uq_jobs_submitted_by_idempotency_key ON jobs (submitted_by, idempotency_key);
CREATE INDEX ix_jobs_created_at_job_id ON jobs (created_at, job_id, submitted_by, project, state);
CREATE INDEX ix_trials_job_id_state ON trials (job_id, state, number);
CREATE INDEX ix_measurements_job_id_id ON measurements (job_id, id);
CREATE INDEX ix_job_logs_job_id ON job_logs (job_id);
CREATE INDEX ix_tokens_user_name ON tokens (user_name);
CREATE INDEX ix_sessions_expires_at ON sessions (expires_at);
CREATE INDEX ix_audit_at ON audit (at);
CREATE INDEX ix_artefacts_sha256 ON artefacts (sha256);
CREATE INDEX ix_artefacts_used_at ON artefacts (used_at);
CREATE INDEX ix_uploads_owner ON uploads (owner);
CREATE INDEX ix_export_requests_job_id ON export_requests (job_id);
CREATE INDEX ix_export_requests_state_created_at ON export_requests (state, created_at);
CREATE UNIQUE INDEX uq_export_requests_submitted_by_idempotency_key ON export_requests (submitted_by, idempotency_key);
COMMIT;
